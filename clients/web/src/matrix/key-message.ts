// The to-device messages that carry media keys, in the form that is deployed and in that of MSC4143. They are only ever sent
// and taken encrypted with Olm.

import { decodeBase64, encodeBase64 } from './identity.ts';
import type { ToDevice } from './homeserver.ts';
import { integerAt, listAt, objectAt, stringAt, type Json } from './json.ts';
import { isMemberKey } from '../e2ee/member-keys.ts';

export const KEY_TYPE = 'io.element.call.encryption_keys';
export const KEY_TYPES: readonly string[] = [KEY_TYPE, 'm.rtc.encryption_key', 'org.matrix.msc4143.rtc.encryption_key'];

export interface MediaKey {
  readonly index: number;
  readonly key: Uint8Array;
}

export interface ReceivedKey extends MediaKey {
  readonly user: string;
  readonly device: string;
  readonly memberId: string;
  /** When the sender made it; orders keys of one index. */
  readonly sentTs: number;
}

export function keyContent(room: string, member: { readonly id: string; readonly device: string }, { index, key }: MediaKey, sentTs: number): Json {
  return {
    keys: { index, key: encodeBase64(key) },
    member: { id: member.id, claimed_device_id: member.device },
    room_id: room,
    session: { application: 'm.call', call_id: '', scope: 'm.room' },
    sent_ts: sentTs,
  };
}

/** `null`: not for this room, malformed, or in the name of another device than the one that encrypted it. */
export function readKey(message: ToDevice, room: string, now: number): ReceivedKey | null {
  const { type, sender: user, device, content } = message;
  if (!KEY_TYPES.includes(type) || stringAt(content, 'room_id') !== room) return null;
  const found = type === KEY_TYPE ? deployed(content, user, device) : standard(content);
  if (!found) return null;
  const key = decodeBase64(found.text);
  if (!key || !isMemberKey(found.index, key)) return null;
  return { user, device, memberId: found.memberId, index: found.index, key, sentTs: integerAt(content, 'sent_ts') ?? now };
}

function deployed(content: Json, user: string, device: string): { memberId: string; index: number; text: string } | null {
  const keys = objectAt(content, 'keys') ?? first(listAt(content, 'keys'));
  const member = objectAt(content, 'member');
  if (!keys || !member || !objectAt(content, 'session') || stringAt(member, 'claimed_device_id') !== device) return null;
  const index = integerAt(keys, 'index');
  const text = stringAt(keys, 'key');
  return index === null || text === null ? null : { memberId: stringAt(member, 'id') ?? `${user}:${device}`, index, text };
}

function standard(content: Json): { memberId: string; index: number; text: string } | null {
  const media = objectAt(content, 'media_key');
  const memberId = stringAt(content, 'member_id');
  const index = media && integerAt(media, 'index');
  const text = media && stringAt(media, 'key');
  return memberId === null || index === null || text === null ? null : { memberId, index, text };
}

function first(list: readonly unknown[] | null): Json | null {
  const value = list?.[0];
  return typeof value === 'object' && value !== null ? (value as Json) : null;
}
