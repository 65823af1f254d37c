// Frames come that do not open: the key message was lost, or never could be sent. Whose they are is asked for it. The field knows no
// such question, so it goes only to members who publish over our transports: theirs are the only frames that we get, and a client
// that knows the transport and not the question ignores it.

import type { Clock } from '../clock.ts';
import { stringAt, type Json } from './json.ts';
import { keyOf, type Membership } from './membership.ts';

export const KEY_REQUEST_TYPE = 'org.rust_sfu.key_request';
/** A key may be on its way: Olm is slower than media. */
export const ASK_AFTER_MS = 2_000;
/** From one question to the next, doubled each time. Whoever is asked answers no more often than this. */
export const ASK_AGAIN_MS = 5_000;
/** Then the frames may as well be somebody else's. */
export const ASKS_MAX = 5;

export interface KeyRequest {
  readonly memberId: string;
  /** Whom it is for: one who joined again has another id. */
  readonly toMemberId: string;
}

export function keyRequestContent(room: string, slot: string, { memberId, toMemberId }: KeyRequest): Json {
  return { room_id: room, slot_id: slot, member_id: memberId, to_member_id: toMemberId };
}

export function readKeyRequest(type: string, content: Json, room: string, slot: string): KeyRequest | null {
  if (type !== KEY_REQUEST_TYPE || stringAt(content, 'room_id') !== room || stringAt(content, 'slot_id') !== slot) return null;
  const [memberId, toMemberId] = [stringAt(content, 'member_id'), stringAt(content, 'to_member_id')];
  return memberId === null || toMemberId === null ? null : { memberId, toMemberId };
}

/** Whether a member may know the question. */
export function answersRequests({ transports }: Pick<Membership, 'transports'>): boolean {
  return transports.some(({ kind }) => kind === 'rust_sfu' || kind === 'full_mesh');
}

export interface KeyAskerOptions {
  readonly clock: Clock;
  readonly ask: (member: Membership) => void;
}

/** When to ask whom. */
export class KeyAsker {
  readonly #options: KeyAskerOptions;
  readonly #waiting = new Map<string, { asks: number; cancel: () => void }>();

  constructor(options: KeyAskerOptions) {
    this.#options = options;
  }

  /** Whether any of this member's frames do not open. */
  lacking(member: Membership, lacks: boolean): void {
    const id = keyOf(member);
    if (!lacks) return this.#forget(id);
    if (this.#waiting.has(id) || !answersRequests(member)) return;
    const state = { asks: 0, cancel: (): void => undefined };
    this.#waiting.set(id, state);
    const after = (ms: number): void => void (state.cancel = this.#options.clock.after(ms, () => {
      this.#options.ask(member);
      if (++state.asks < ASKS_MAX) after(ASK_AGAIN_MS * 2 ** (state.asks - 1));
    }));
    after(ASK_AFTER_MS);
  }

  /** Everybody else who is there now. */
  setMembers(present: readonly Membership[]): void {
    const there = new Set(present.map(keyOf));
    for (const id of [...this.#waiting.keys()]) if (!there.has(id)) this.#forget(id);
  }

  close(): void {
    for (const id of [...this.#waiting.keys()]) this.#forget(id);
  }

  #forget(id: string): void {
    this.#waiting.get(id)?.cancel();
    this.#waiting.delete(id);
  }
}
