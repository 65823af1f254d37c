// Over which ways a call goes: pure functions of the memberships, so that all who see the same ones decide alike.

import type { Membership } from './membership.ts';
import { isSameFocus, kindName, type RustSfu, type Transport } from './transport.ts';

export type Reach =
  | { readonly by: 'focus'; readonly focus: RustSfu }
  | { readonly by: 'mesh' }
  | { readonly by: 'nothing'; readonly why: string };

/** Where a member publishes for those who know `rust_sfu`: each to its own first such transport (`multi_sfu`). */
export function focusOf(member: Pick<Membership, 'transports'>): RustSfu | null {
  return member.transports.find((transport) => transport.kind === 'rust_sfu') ?? null;
}

function focusOfOldest(everybody: readonly Membership[]): RustSfu | null {
  const oldest = everybody[0];
  return oldest ? focusOf(oldest) : null;
}

/** Two who are left wait this long before they connect directly again, lest one who comes and goes tear them to and fro. */
export const SHRINK_AFTER_MS = 30_000;

export type Topology =
  | { readonly is: 'alone' }
  | { readonly is: 'mesh' }
  /** `until`: when it is to be decided again, though nothing has happened. */
  | { readonly is: 'focus'; readonly until: number | null };

/** Whether a member offers to be called directly, and can call so. */
export function isMeshAble(member: Membership): boolean {
  return member.transports.some(({ kind }) => kind === 'full_mesh') && member.canSubscribe.includes('full_mesh');
}

/** As `matrixrtc::mesh::decide`: a function of what the member events say, so that nobody is in a mesh alone. */
export function topology(everybody: readonly Membership[], lastLeftAt: number | null, now: number): Topology {
  const [one, two] = everybody;
  if (!one || !two) return { is: 'alone' };
  if (everybody.length > 2 || !isMeshAble(one) || !isMeshAble(two)) return { is: 'focus', until: null };
  const younger = Math.max(one.createdAt, two.createdAt);
  if (lastLeftAt === null || lastLeftAt <= younger || lastLeftAt + SHRINK_AFTER_MS <= now) return { is: 'mesh' };
  return { is: 'focus', until: lastLeftAt + SHRINK_AFTER_MS };
}

/** How `member` is reached, `others` and we being sorted by age. */
export function reach(member: Membership, everybody: readonly Membership[], mesh: boolean): Reach {
  if (mesh && isMeshAble(member)) return { by: 'mesh' };
  if (member.selection !== 'multi_sfu' && member.selection !== 'oldest_membership') return { by: 'nothing', why: 'It chooses its server in a way that is not known here.' };
  const focus = member.selection === 'oldest_membership' ? focusOfOldest(everybody) : focusOf(member);
  if (focus) return { by: 'focus', focus };
  const kinds = [...new Set(member.transports.map(kindName))];
  if (kinds.length === 0) return { by: 'nothing', why: 'It announces no server for its media.' };
  return { by: 'nothing', why: kinds.includes('livekit') ? 'It uses a LiveKit server, which this page does not speak to.' : `It uses ${kinds.join(', ')}, which is not known here.` };
}

/** One connection for each focus, however many members name it, and whatever they call it. */
export function distinctFoci(foci: readonly RustSfu[]): RustSfu[] {
  const distinct: RustSfu[] = [];
  for (const focus of foci) if (!distinct.some((known) => isSameFocus(known, focus))) distinct.push(focus);
  return distinct;
}

export function nameOf(focus: Transport): string {
  return focus.kind === 'rust_sfu' ? `focus:${focus.sfuId ?? focus.url ?? `${focus.matrix?.user} ${focus.matrix?.device}`}` : focus.kind;
}

