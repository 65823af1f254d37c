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

export function offersMesh(member: Pick<Membership, 'transports'>): boolean {
  return member.transports.some(({ kind }) => kind === 'full_mesh');
}

/** Two who both offer it need no focus. A third makes the call grow into one. */
export function isMesh(own: Membership, others: readonly Membership[]): boolean {
  const [other] = others;
  return others.length === 1 && other !== undefined && offersMesh(own) && offersMesh(other);
}

/** How `member` is reached, `others` and we being sorted by age. */
export function reach(member: Membership, everybody: readonly Membership[], mesh: boolean): Reach {
  if (mesh && offersMesh(member)) return { by: 'mesh' };
  if (member.selection !== 'multi_sfu' && member.selection !== 'oldest_membership') return { by: 'nothing', why: 'It chooses its server in a way that is not known here.' };
  const focus = member.selection === 'oldest_membership' ? focusOfOldest(everybody) : focusOf(member);
  if (focus) return focus.url === null ? { by: 'nothing', why: 'Its server has no address that a browser can open.' } : { by: 'focus', focus };
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
  return focus.kind === 'rust_sfu' ? `focus:${focus.sfuId ?? focus.url ?? ''}` : focus.kind;
}

