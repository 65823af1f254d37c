// Events that ring (MSC4075 as it is deployed, and the invite of its later text) and that decline (MSC4310).

import type { RawEvent } from './homeserver.ts';
import { integerAt, isObject, listAt, objectAt, stringAt, type Json } from './json.ts';
import { DEFAULT_SLOT } from './membership.ts';

export const NOTIFICATION_TYPE = 'org.matrix.msc4075.rtc.notification';
const NOTIFICATION_TYPES: readonly string[] = [NOTIFICATION_TYPE, 'm.rtc.notification', 'm.rtc.invite'];
export const DECLINE_TYPE = 'org.matrix.msc4310.rtc.decline';
const DECLINE_TYPES: readonly string[] = [DECLINE_TYPE, 'm.rtc.decline'];
/** For how long we ring. */
export const LIFETIME_MS = 30_000;
/** Nobody's telephone rings longer. */
const LIFETIME_MS_MAX = 90_000;
export const INVITE_LIFETIME_MS_MAX = 120_000;
/** The sender's clock is believed so far from the server's. */
const CLOCKS_MS = 20_000;
const MENTIONS_MAX = 256;

export interface Notification {
  readonly eventId: string;
  readonly caller: string;
  /** Of the invite; the deployed form is for the room's own call. */
  readonly slot: string;
  /** `false`: a hint that there is a call, without sound. */
  readonly loud: boolean;
  readonly intent: string | null;
  readonly mentions: { readonly room: boolean; readonly users: readonly string[] };
  /** Then it is a missed call. */
  readonly until: number;
}

export function notificationContent(memberEvent: string, intent: string, now: number): Json {
  return {
    'm.mentions': { user_ids: [], room: true },
    notification_type: 'ring',
    'm.relates_to': { rel_type: 'm.reference', event_id: memberEvent },
    sender_ts: now,
    lifetime: LIFETIME_MS,
    'm.call.intent': intent,
  };
}

export function declineContent(notification: string): Json {
  return { 'm.relates_to': { rel_type: 'm.reference', event_id: notification } };
}

/** `withdrawn`: the caller took it back. `bad`: malformed. `null`: it is something else. */
export function readNotification({ type, content, sender, eventId, originServerTs, redacted }: RawEvent): Notification | 'withdrawn' | 'bad' | null {
  if (!NOTIFICATION_TYPES.includes(type)) return null;
  if (redacted || Object.keys(content).every((key) => key === 'sticky_key' || key === 'msc4354_sticky_key')) return 'withdrawn';
  const [senderTs, lifetime] = [integerAt(content, 'sender_ts'), integerAt(content, 'lifetime')];
  const mentions = readMentions(content['m.mentions']);
  const slot = stringAt(content, 'slot_id');
  const kind = stringAt(content, 'notification_type');
  if (senderTs === null || lifetime === null || senderTs < 0 || lifetime < 0 || !mentions) return 'bad';
  const isInvite = slot !== null;
  if (!isInvite && ((kind !== 'ring' && kind !== 'notification') || reference(content) === null)) return 'bad';
  if (isInvite && !/^[^#]+#[^#]*$/.test(slot)) return 'bad';
  const start = Math.abs(senderTs - originServerTs) > CLOCKS_MS ? originServerTs : senderTs;
  return {
    eventId,
    caller: sender,
    slot: slot ?? DEFAULT_SLOT,
    loud: isInvite || kind === 'ring',
    intent: stringAt(content, 'm.call.intent') ?? stringAt(content, 'intent'),
    mentions,
    until: start + Math.min(lifetime, isInvite ? INVITE_LIFETIME_MS_MAX : LIFETIME_MS_MAX),
  };
}

/** The notification that it declines. */
export function readDecline({ type, content }: RawEvent): string | null {
  return DECLINE_TYPES.includes(type) ? reference(content) : null;
}

function reference(content: Json): string | null {
  const relates = objectAt(content, 'm.relates_to');
  const id = relates?.['rel_type'] === 'm.reference' ? stringAt(relates, 'event_id') : null;
  return id?.startsWith('$') ? id : null;
}

function readMentions(value: unknown): Notification['mentions'] | null {
  if (!isObject(value)) return null;
  const [room = false, listed] = [value['room'], value['user_ids']];
  if (typeof room !== 'boolean' || (listed !== undefined && !Array.isArray(listed))) return null;
  const users = (listAt(value, 'user_ids') ?? []).slice(0, MENTIONS_MAX);
  return users.every((user): user is string => typeof user === 'string' && /^@.*:./.test(user)) ? { room, users } : null;
}
