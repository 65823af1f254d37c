// `m.rtc.member` (MSC4143), a sticky event (MSC4354), in its three shapes: with `rtc_transports`, with `transports`, and as
// the MSC has it since September 2026, with neither user nor device in the content.

import * as fields from './fields.ts';
import type { RawEvent } from './homeserver.ts';
import { isObject, type Json } from './json.ts';
import type { Claim, Membership } from './membership.ts';
import { canonicalKind, kindName, parseTransports, type Transport } from './transport.ts';

/** What MSC4354 allows at most. */
export const STICKY_MS_MAX = 60 * 60 * 1000;
/** When this member joined, said again with each renewal: nobody who comes later has seen the first event. */
export const CREATED_KEY = 'org.rust_sfu.created_ts';
const KEYS_OF_LEAVE: readonly string[] = ['leave_reason', 'slot_id', 'msc4354_sticky_key', 'sticky_key'];

/** Until when a sticky event counts, for one who received it at `received`. `leftMs` is what the homeserver says is left. */
export function stickyEnds(sentAt: number, received: number, durationMs: number, leftMs: number | null): number {
  const duration = Math.min(durationMs, STICKY_MS_MAX);
  return leftMs === null ? Math.min(sentAt, received) + duration : received + Math.min(leftMs, duration);
}

export function readSticky(event: RawEvent): Claim {
  const { content } = event;
  if (event.stateKey !== undefined) throw new fields.Refused('not_member');
  if (event.redacted) return { is: 'left', leave: { code: null, reason: null } };
  checkStickyKey(content);
  if (event.stickyUntil === undefined) throw new fields.Refused('not_sticky');
  const member = isObject(content['member']) ? content['member'] : null;
  const membership = member?.['membership'];
  if (membership === 'leave' || Object.keys(content).every((key) => KEYS_OF_LEAVE.includes(key))) {
    return { is: 'left', leave: fields.leaveOf(content) };
  }
  if (membership !== undefined && membership !== 'join') throw new fields.Refused('bad_field membership');
  if (!member) throw new fields.Refused('bad_field member');
  return { is: 'joined', membership: joined(event, member, event.stickyUntil) };
}

/** Both names may be there, if they agree. */
function checkStickyKey(content: Json): void {
  const [stable, unstable] = [content['sticky_key'], content['msc4354_sticky_key']];
  for (const key of [stable, unstable]) if (key !== undefined && !fields.isText(key)) throw new fields.Refused('bad_sticky_key');
  if (stable !== undefined && unstable !== undefined && stable !== unstable) throw new fields.Refused('bad_sticky_key');
  if (stable === undefined && unstable === undefined) throw new fields.Refused('bad_sticky_key');
}

function joined(event: RawEvent, member: Json, until: number): Membership {
  const { content, sender, originServerTs, eventId } = event;
  const application = fields.object(content, 'application');
  const type = fields.text(application, 'type');
  const slot = fields.slotId(fields.text(content, 'slot_id'));
  if (!slot.startsWith(`${type}#`)) throw new fields.Refused('bad_slot');
  const memberId = fields.text(member, 'id');
  if (memberId === '') throw new fields.Refused('bad_field id');
  const user = either(member, 'user_id', 'claimed_user_id');
  if (user !== null && user !== sender) throw new fields.Refused('foreign_user');
  const { device, deviceFrom } = deviceOf(event, either(member, 'device_id', 'claimed_device_id'), memberId);
  const { form, published, canSubscribe } = transportsOf(content);
  return {
    user: sender,
    device,
    deviceFrom,
    memberId,
    slot,
    application: type,
    intent: either(application, 'intent', 'm.call.intent'),
    capabilities: fields.optionalTexts(content, 'capabilities') ?? [],
    createdAt: Math.min(fields.optionalMillis(content, CREATED_KEY) ?? originServerTs, originServerTs),
    expiresAt: until,
    transports: published,
    canSubscribe,
    selection: 'multi_sfu',
    eventId,
    sentAt: originServerTs,
    form: member['membership'] !== undefined && user === null ? 'spec' : form,
  };
}

/** Who encrypted an event counts more than what it says; but it may not say another. */
function deviceOf({ senderDevice }: RawEvent, named: string | null, memberId: string): Pick<Membership, 'device' | 'deviceFrom'> {
  if (named === '') throw new fields.Refused('bad_field device_id');
  if (senderDevice !== undefined) {
    if (named !== null && named !== senderDevice) throw new fields.Refused('foreign_device');
    return { device: senderDevice, deviceFrom: 'encryption' };
  }
  return named === null ? { device: memberId, deviceFrom: 'nothing' } : { device: named, deviceFrom: 'content' };
}

function either(object: Json, one: string, other: string): string | null {
  return fields.optionalText(object, one) ?? fields.optionalText(object, other);
}

function transportsOf(content: Json): { form: Membership['form']; published: Transport[]; canSubscribe: string[] } {
  const list = (object: Json, key: string): Transport[] => {
    const value = object[key];
    if (!Array.isArray(value)) throw new fields.Refused(`bad_field ${key}`);
    const parsed = parseTransports(value);
    if (!parsed) throw new fields.Refused('bad_transport');
    return parsed;
  };
  if (!('transports' in content)) {
    const published = list(content, 'rtc_transports');
    return { form: 'rtc_transports', published, canSubscribe: [...new Set(published.map(kindName))].sort() };
  }
  const transports = fields.object(content, 'transports');
  const published = list(transports, 'published');
  const canSubscribe = fields.optionalTexts(transports, 'can_subscribe');
  if (canSubscribe === null) throw new fields.Refused('bad_field can_subscribe');
  return { form: 'transports', published, canSubscribe: canSubscribe.map(canonicalKind) };
}
