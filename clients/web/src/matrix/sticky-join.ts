// Our own `m.rtc.member`, as the crate `matrixrtc` writes it. For all readers it has all three shapes at once, and each finds its own;
// for those that know `rust_sfu` it is as MSC4143 has it now.

import type { Json } from './json.ts';
import type { Join } from './legacy-member.ts';
import { CREATED_KEY } from './sticky-member.ts';
import { kindName } from './transport.ts';

/** How long it is sticky is said beside the content. */
export interface StickyJoin extends Omit<Join, 'expiresMs'> {
  readonly user: string;
}

export function stickyJoinContent({ user, device, memberId, slot, transports, intent, createdAt, profile }: StickyJoin): Json {
  const [type = ''] = slot.split('#');
  const published = transports.map(({ json }) => json);
  const isInterop = profile === 'interop';
  const member = { id: memberId, membership: 'join' };
  return {
    slot_id: slot,
    sticky_key: memberId,
    msc4354_sticky_key: memberId,
    member: isInterop ? { ...member, user_id: user, claimed_user_id: user, device_id: device, claimed_device_id: device } : member,
    application: { type, intent, ...(isInterop ? { 'm.call.intent': intent } : {}) },
    ...(isInterop ? { rtc_transports: published, versions: [] } : {}),
    transports: { published, can_subscribe: [...new Set(transports.map(kindName))] },
    ...(createdAt === null ? {} : { [CREATED_KEY]: createdAt }),
  };
}

/** `code` says why, where there is a place for it: the reference client takes an event with any further key for a join. */
export function stickyLeaveContent({ memberId, slot, profile }: Pick<StickyJoin, 'memberId' | 'slot' | 'profile'>, code: 'leave' | 'delayed_leave'): Json {
  const leave = { slot_id: slot, msc4354_sticky_key: memberId };
  return profile === 'interop' ? leave : { ...leave, sticky_key: memberId, member: { id: memberId, membership: 'leave' }, leave_reason: { code } };
}
