// `m.rtc.member` (MSC4143), a sticky event (MSC4354), in its three shapes: with `rtc_transports`, with `transports`, and as
// the MSC has it since September 2026, with neither user nor device in the content.

import * as fields from './fields.ts';
import type { RawEvent } from './homeserver.ts';
import type { Json } from './json.ts';
import type { Claim, Membership } from './membership.ts';
import { canonicalKind, kindName, parseTransports, type Transport } from './transport.ts';

const KEYS_OF_LEAVE: readonly string[] = ['leave_reason', 'slot_id', 'msc4354_sticky_key', 'sticky_key'];

export function readSticky(event: RawEvent): Claim {
  const { content } = event;
  if (event.stateKey !== undefined) throw new fields.Refused('not_member');
  if (event.stickyUntil === undefined) throw new fields.Refused('not_sticky');
  const stickyKey = keyOfContent(content);
  const membership = content['member'];
  if (Object.keys(content).every((key) => KEYS_OF_LEAVE.includes(key))) return { is: 'left', leave: fields.leaveOf(content) };
  const member = fields.object(content, 'member');
  const says = fields.optionalText(member, 'membership');
  if (says === 'leave') return { is: 'left', leave: fields.leaveOf(content) };
  if (says !== null && says !== 'join') throw new fields.Refused('bad_field membership');
  const form = says !== null ? 'spec' : 'transports' in content ? 'transports' : 'rtc_transports';
  const memberId = fields.text(member, 'id');
  if (memberId === '' || stickyKey !== memberId) throw new fields.Refused('bad_field sticky_key');
  void membership;
  return { is: 'joined', membership: joined(event, member, memberId, form, event.stickyUntil) };
}

/** Both names may be there, if they agree. */
function keyOfContent(content: Json): string {
  const stable = fields.optionalText(content, 'sticky_key');
  const unstable = fields.optionalText(content, 'msc4354_sticky_key');
  if (stable !== null && unstable !== null && stable !== unstable) throw new fields.Refused('bad_field sticky_key');
  const key = stable ?? unstable;
  if (key === null) throw new fields.Refused('bad_field sticky_key');
  return key;
}

function joined(event: RawEvent, member: Json, memberId: string, form: Membership['form'], until: number): Membership {
  const { content, sender, originServerTs, eventId } = event;
  const slot = fields.slotId(fields.text(content, 'slot_id'));
  const application = fields.object(content, 'application');
  const type = fields.text(application, 'type');
  if (!slot.startsWith(`${type}#`)) throw new fields.Refused('bad_slot');
  const user = fields.optionalText(member, 'user_id') ?? fields.optionalText(member, 'claimed_user_id');
  if (user !== null && user !== sender) throw new fields.Refused('foreign_user');
  const claimed = fields.optionalText(member, 'device_id') ?? fields.optionalText(member, 'claimed_device_id');
  if (form !== 'spec' && claimed === null) throw new fields.Refused('bad_field device_id');
  if (event.senderDevice !== undefined && claimed !== null && claimed !== event.senderDevice) throw new fields.Refused('foreign_device');
  const { published, canSubscribe } = transportsOf(content, form);
  return {
    user: sender,
    device: event.senderDevice ?? claimed ?? memberId,
    deviceFrom: event.senderDevice !== undefined ? 'encryption' : claimed !== null ? 'content' : 'nothing',
    memberId,
    slot,
    application: type,
    intent: fields.optionalText(application, 'm.call.intent') ?? fields.optionalText(application, 'intent'),
    capabilities: fields.optionalTexts(content, 'capabilities') ?? [],
    createdAt: Math.min(fields.optionalMillis(content, 'created_ts') ?? originServerTs, originServerTs),
    expiresAt: until,
    transports: published,
    canSubscribe,
    selection: 'multi_sfu',
    eventId,
    sentAt: originServerTs,
    form,
  };
}

function transportsOf(content: Json, form: Membership['form']): { published: Transport[]; canSubscribe: string[] } {
  const list = (object: Json, key: string): Transport[] => {
    const value = object[key];
    if (!Array.isArray(value)) throw new fields.Refused(`bad_field ${key}`);
    const parsed = parseTransports(value);
    if (!parsed) throw new fields.Refused('bad_transport');
    return parsed;
  };
  if (form === 'rtc_transports') {
    const published = list(content, 'rtc_transports');
    return { published, canSubscribe: [...new Set(published.map(kindName))].sort() };
  }
  const transports = fields.object(content, 'transports');
  const published = list(transports, 'published');
  const announced = fields.optionalTexts(transports, 'can_subscribe')?.map(canonicalKind);
  return { published, canSubscribe: announced ?? [...new Set(published.map(kindName))].sort() };
}
