// The to-device messages that carry media keys, in the form that is deployed and in that of MSC4143. They are only ever sent
// and taken encrypted with Olm.

import { decodeBase64, encodeBase64 } from './identity.ts';
import { integerAt, objectAt, stringAt, type Json } from './json.ts';
import { isMemberKey } from '../e2ee/member-keys.ts';

export const KEY_TYPE = 'io.element.call.encryption_keys';
export const KEY_TYPES: readonly string[] = [KEY_TYPE, 'm.rtc.encryption_key', 'org.matrix.msc4143.rtc.encryption_key'];

export interface MediaKey {
  readonly index: number;
  readonly key: Uint8Array;
}

/** What a message says. All of it is a claim. */
export interface KeyMessage extends MediaKey {
  readonly room: string;
  readonly memberId: string | null;
  /** The device that it says it is from; only deployed messages do. */
  readonly device: string | null;
  /** Deployed messages name the session, those of MSC4143 do not. */
  readonly slot: string | null;
  /** By the sender's clock; only comparable with its own. */
  readonly sentAt: number | null;
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

/** `null`: it is something else, or malformed. */
export function readKey(type: string, content: Json): KeyMessage | null {
  const room = stringAt(content, 'room_id');
  if (room === null || !KEY_TYPES.includes(type)) return null;
  return type === KEY_TYPE ? deployed(room, content) : standard(room, content);
}

function deployed(room: string, content: Json): KeyMessage | null {
  const member = objectAt(content, 'member');
  const session = objectAt(content, 'session');
  const media = mediaKey(objectAt(content, 'keys'));
  const device = member && stringAt(member, 'claimed_device_id');
  const callId = session && stringAt(session, 'call_id');
  if (!member || !session || !media || !device || callId === null) return null;
  const slot = `${stringAt(session, 'application') ?? 'm.call'}#${callId === '' ? 'ROOM' : callId}`;
  return { ...media, room, memberId: stringAt(member, 'id'), device, slot, sentAt: integerAt(content, 'sent_ts') };
}

function standard(room: string, content: Json): KeyMessage | null {
  const media = mediaKey(objectAt(content, 'media_key'));
  const memberId = stringAt(content, 'member_id');
  return media && memberId ? { ...media, room, memberId, device: null, slot: null, sentAt: null } : null;
}

function mediaKey(keys: Json | null): MediaKey | null {
  const index = keys && integerAt(keys, 'index');
  const key = decodeBase64((keys && stringAt(keys, 'key')) ?? '');
  return index !== null && key && isMemberKey(index, key) ? { index, key } : null;
}
