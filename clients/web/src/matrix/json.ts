// Reading JSON that others wrote: every accessor says what it found, or that it is not there.

export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectAt(object: Json, key: string): Json | null {
  const value = object[key];
  return isObject(value) ? value : null;
}

export function stringAt(object: Json, key: string): string | null {
  const value = object[key];
  return typeof value === 'string' ? value : null;
}

/** A whole number that JSON can carry exactly. */
export function integerAt(object: Json, key: string): number | null {
  const value = object[key];
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : null;
}

export function listAt(object: Json, key: string): readonly unknown[] | null {
  const value = object[key];
  return Array.isArray(value) ? value : null;
}
