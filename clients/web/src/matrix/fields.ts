// Reads of single fields of member events, with the reference client's idea of what is optional. A field of the wrong kind
// makes the whole event invalid.

import { isObject, type Json } from './json.ts';
import type { Leave } from './membership.ts';

/** Of ids and names that others choose, in bytes. */
const TEXT_BYTES_MAX = 255;
const TEXTS_MAX = 32;

export class Refused extends Error {}

export function isText(value: unknown): value is string {
  return typeof value === 'string' && new TextEncoder().encode(value).length <= TEXT_BYTES_MAX;
}

export function optionalText(content: Json, key: string): string | null {
  const value = content[key];
  if (value === undefined) return null;
  if (!isText(value)) throw new Refused(`bad_field ${key}`);
  return value;
}

export function text(content: Json, key: string): string {
  const value = optionalText(content, key);
  if (value === null) throw new Refused(`bad_field ${key}`);
  return value;
}

export function optionalMillis(content: Json, key: string): number | null {
  const value = content[key];
  if (value === undefined) return null;
  if (typeof value !== 'number' || !(value >= 0)) throw new Refused(`bad_field ${key}`);
  return Math.floor(value);
}

export function object(content: Json, key: string): Json {
  const value = content[key];
  if (!isObject(value)) throw new Refused(`bad_field ${key}`);
  return value;
}

export function optionalTexts(content: Json, key: string): string[] | null {
  const value = content[key];
  if (value === undefined) return null;
  if (!Array.isArray(value)) throw new Refused(`bad_field ${key}`);
  const texts: unknown[] = value.slice(0, TEXTS_MAX);
  if (!texts.every(isText)) throw new Refused(`bad_field ${key}`);
  return texts;
}

/** `leave_reason` in any of its forms. Nobody stays because this is malformed. */
export function leaveOf(content: Json): Leave {
  const reason = content['leave_reason'];
  const short = (value: unknown): string | null => (isText(value) ? value : null);
  return isObject(reason) ? { code: short(reason['code']), reason: short(reason['reason']) } : { code: short(reason), reason: null };
}

/** `application#id`, with exactly one `#`. */
export function slotId(value: string): string {
  const parts = value.split('#');
  if (parts.length !== 2 || parts[0] === '' || !isText(value)) throw new Refused('bad_slot');
  return value;
}
