// The content of one event, `org.rust_sfu.signal`, and its bounds, as `crates/focus-signaling/src/todevice/content.rs` has them.
// The golden files there are read by the tests of both. What it claims of its sender is not looked at: that is whom Olm names.

export const EVENT_TYPE = 'org.rust_sfu.signal';
/** Largest content, in bytes of JSON: some 32 KiB encrypted, half of what homeservers take. */
export const CONTENT_BYTES_MAX = 22 * 1024;
/** Largest message that a focus takes this way. */
export const MESSAGE_BYTES_MAX = 20 * 1024;
/** A room, slot or member id. */
const WORD_BYTES_MAX = 255;
const SESSION_BYTES_MAX = 32;
const CODE_MAX = 0xffff;

/** What a link is about: a member of a session in a room's slot. */
export interface Claims {
  readonly room_id: string;
  readonly slot_id: string;
  readonly member_id: string;
}

/** With `seq` it carries a message, or the `close` of the link; without it an acknowledgement, or that there is no such link. */
export interface Content extends Claims {
  /** Sender's id of the link. */
  readonly session: string;
  /** Receiver's id of it, once the sender has heard it. */
  readonly dest_session?: string;
  /** 1, 2, 3 … in each direction. */
  readonly seq?: number;
  /** All messages up to this one have come. */
  readonly ack?: number;
  /** An envelope of the dialect. */
  readonly m?: unknown;
  /** The link ends: a close code of the dialect. */
  readonly close?: number;
}

/** Why it is no content. */
export type ContentFault = 'too-large' | 'json' | 'field' | 'shape';

const WORDS = ['room_id', 'slot_id', 'member_id', 'session', 'dest_session'] as const;
const NUMBERS = ['seq', 'ack', 'close'] as const;
const UTF8 = new TextEncoder();

export function bytesOf(text: string): number {
  return UTF8.encode(text).length;
}

/** Reads what came decrypted. */
export function parseContent(value: unknown): Content | ContentFault {
  if (bytesOf(JSON.stringify(value) ?? '') > CONTENT_BYTES_MAX) return 'too-large';
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'json';
  const from = value as Readonly<Record<string, unknown>>;
  const found: Record<string, unknown> = {};
  for (const name of WORDS) {
    const word = from[name] ?? undefined;
    if (word === undefined && name === 'dest_session') continue;
    if (typeof word !== 'string') return 'json';
    found[name] = word;
  }
  for (const name of NUMBERS) {
    const number = from[name] ?? undefined;
    if (number === undefined) continue;
    if (!isCount(number) || (name === 'close' && number > CODE_MAX)) return 'json';
    found[name] = number;
  }
  if (from['m'] !== undefined && from['m'] !== null) found['m'] = from['m'];
  const content = found as unknown as Content;
  return fault(content) ?? content;
}

/** Beyond 2^53 it is still a number, but none that JSON carries everywhere. */
function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}

function fault({ session, dest_session, seq, ack, m, close, ...words }: Content): ContentFault | null {
  const fits = (word: string, most: number): boolean => word !== '' && bytesOf(word) <= most;
  const sessions = dest_session === undefined ? [session] : [session, dest_session];
  const numbers = [seq, ack].filter((number) => number !== undefined);
  if (!Object.values(words).every((word) => fits(word, WORD_BYTES_MAX)) || !sessions.every((id) => fits(id, SESSION_BYTES_MAX))) return 'field';
  if (!numbers.every(Number.isSafeInteger)) return 'field';
  const carries = Number(m !== undefined) + Number(close !== undefined);
  if (seq === undefined) return m === undefined ? null : 'shape';
  return seq >= 1 && carries === 1 ? null : 'shape';
}
