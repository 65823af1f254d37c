// Who is who at a focus: members by the identity that a focus must show for them, and those who have just left.

import type { Clock } from '../clock.ts';
import { participantIdentity } from './identity.ts';
import { keyOf, type Membership } from './membership.ts';

/** A focus keeps a session without a socket for 30 s; so long one who left is no stranger. */
export const FORMER_MS = 40_000;
/** Of those who left lately. */
const FORMER_MAX = 1000;

export class Directory {
  readonly #clock: Clock;
  /** Called when one who left becomes a stranger, if he is still there. */
  readonly #changed: () => void;
  #members = new Map<string, Membership>();
  readonly #former = new Map<string, number>();

  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  async setMembers(others: readonly Membership[]): Promise<void> {
    const identities = await Promise.all(others.map((member) => participantIdentity(member.user, member.memberId)));
    this.#rememberFormer(new Set(identities));
    this.#members = new Map(others.map((member, index) => [identities[index] ?? '', member]));
  }

  find(identity: string | null): Membership | 'former' | null {
    const member = this.#members.get(identity ?? '');
    return member ?? (this.#former.has(identity ?? '') ? 'former' : null);
  }

  identityOf(member: Membership): string {
    for (const [identity, known] of this.#members) if (keyOf(known) === keyOf(member)) return identity;
    return '';
  }

  #rememberFormer(present: ReadonlySet<string>): void {
    const now = this.#clock.now();
    for (const [identity, at] of this.#former) if (present.has(identity) || now - at >= FORMER_MS) this.#former.delete(identity);
    for (const identity of this.#members.keys()) {
      if (present.has(identity) || this.#former.size >= FORMER_MAX) continue;
      this.#former.set(identity, now);
      this.#clock.after(FORMER_MS, this.#changed);
    }
  }
}
