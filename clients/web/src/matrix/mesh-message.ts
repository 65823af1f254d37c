// What two browsers tell each other to connect directly. It travels as Olm-encrypted to-device messages, so that the
// fingerprints of the connection are those of the two devices.

import type { ToDevice } from './homeserver.ts';
import { integerAt, objectAt, stringAt, type Json } from './json.ts';
import type { Membership } from './membership.ts';

export const MESH_TYPE = 'org.rust_sfu.full_mesh';
/** As for the dialect of a focus; homeservers refuse events above 64 KiB anyway. */
const SDP_CHARS_MAX = 48 * 1024;

export type MeshBody =
  | { readonly t: 'offer' | 'answer'; readonly sdp: string }
  /** The call grows: all that the sender shows of us comes over the focus now. */
  | { readonly t: 'done' }
  /** The call has shrunk: all of it comes over this connection. */
  | { readonly t: 'settled' };

export interface MeshMessage {
  readonly memberId: string;
  /** Whom it is for: a member that joined again has another id. */
  readonly toMemberId: string;
  /** Chosen by the offerer, for each attempt. */
  readonly session: string;
  readonly body: MeshBody;
}

export function meshContent(room: string, slot: string, message: MeshMessage): Json {
  return { room_id: room, slot_id: slot, member_id: message.memberId, to_member_id: message.toMemberId, session: message.session, m: message.body };
}

export function readMesh({ type, content }: ToDevice, room: string, slot: string): MeshMessage | null {
  if (type !== MESH_TYPE || stringAt(content, 'room_id') !== room || stringAt(content, 'slot_id') !== slot) return null;
  const [memberId, toMemberId, session] = [stringAt(content, 'member_id'), stringAt(content, 'to_member_id'), stringAt(content, 'session')];
  const m = objectAt(content, 'm');
  if (memberId === null || toMemberId === null || session === null || m === null) return null;
  const t = stringAt(m, 't');
  if (t === 'done' || t === 'settled') return { memberId, toMemberId, session, body: { t } };
  const sdp = stringAt(m, 'sdp');
  if ((t !== 'offer' && t !== 'answer') || sdp === null || sdp.length > SDP_CHARS_MAX) return null;
  return { memberId, toMemberId, session, body: { t, sdp } };
}

/** What is sent over the data channel: everything that the sender publishes. */
export interface MeshTrack {
  readonly source: 'microphone' | 'camera' | 'screen' | 'screen_audio';
  readonly muted: boolean;
  readonly width: number | null;
  readonly height: number | null;
}

const SOURCES: readonly string[] = ['microphone', 'camera', 'screen', 'screen_audio'];

export function readTracks(text: string): MeshTrack[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  const list: unknown = (value as { tracks?: unknown } | null)?.tracks;
  if (!Array.isArray(list)) return [];
  return list.slice(0, SOURCES.length).flatMap((entry: unknown) => {
    const json = entry as Json;
    const source = typeof entry === 'object' && entry !== null ? stringAt(json, 'source') : null;
    if (source === null || !SOURCES.includes(source)) return [];
    return [{ source: source as MeshTrack['source'], muted: json['muted'] === true, width: integerAt(json, 'width'), height: integerAt(json, 'height') }];
  });
}

/** `{"key_frame":true}`: the receiver missed frames and can go on only from a key frame. */
export function asksKeyFrame(text: string): boolean {
  return text === '{"key_frame":true}';
}

/** The one with the lower user and device calls, as full mesh calls of Matrix always had it. */
export function weOffer(own: Pick<Membership, 'user' | 'device'>, other: Pick<Membership, 'user' | 'device'>): boolean {
  return own.user === other.user ? own.device < other.device : own.user < other.user;
}
