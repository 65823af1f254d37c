// Small checkers for JSON that came from outside. A checker returns the typed value or throws `Invalid` with the path
// of what is wrong, so that nothing unchecked gets past the socket. Unknown fields are kept out of the result.

/** The message is not what the protocol says; `message` names the field. */
export class Invalid extends Error {
  override readonly name = 'Invalid';
}

export type Check<T> = (value: unknown, path: string) => T;

/** Marks a field that may be absent. An absent field stays absent, it does not become `undefined`. */
export interface Optional<T> {
  readonly optional: Check<T>;
}

type Field = Check<unknown> | Optional<unknown>;
type Simplify<T> = { [K in keyof T]: T[K] };
type OptionalKeys<S> = { [K in keyof S]: S[K] extends Optional<unknown> ? K : never }[keyof S];

/** The TypeScript type that an `object` checker returns. */
export type ObjectOf<S extends Record<string, Field>> = Simplify<
  { [K in Exclude<keyof S, OptionalKeys<S>>]: S[K] extends Check<infer T> ? T : never } & {
    [K in OptionalKeys<S>]?: S[K] extends Optional<infer T> ? T : never;
  }
>;
export type TypeOf<C> = C extends Check<infer T> ? T : never;

export const string: Check<string> = (value, path) => {
  if (typeof value !== 'string') throw new Invalid(`${path}: not a string`);
  return value;
};

export const boolean: Check<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw new Invalid(`${path}: not a boolean`);
  return value;
};

/** A whole number that is not negative: every number of this protocol is one. */
export const count: Check<number> = (value, path) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new Invalid(`${path}: not a count`);
  return value;
};

export function oneOf<const T extends readonly string[]>(...allowed: T): Check<T[number]> {
  return (value, path) => {
    if (typeof value !== 'string' || !allowed.includes(value)) throw new Invalid(`${path}: not one of ${allowed.join(', ')}`);
    return value;
  };
}

export function list<T>(item: Check<T>): Check<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new Invalid(`${path}: not a list`);
    return value.map((entry, index) => item(entry, `${path}[${index}]`));
  };
}

export function optional<T>(check: Check<T>): Optional<T> {
  return { optional: check };
}

export function object<S extends Record<string, Field>>(shape: S): Check<ObjectOf<S>> {
  const fields = Object.entries(shape);
  return (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Invalid(`${path}: not an object`);
    const from = value as Record<string, unknown>;
    const result: Record<string, unknown> = {};
    for (const [name, field] of fields) {
      const entry = from[name];
      if (typeof field === 'function') {
        result[name] = field(entry, `${path}.${name}`);
      } else if (entry !== undefined && entry !== null) {
        result[name] = field.optional(entry, `${path}.${name}`);
      }
    }
    return result as ObjectOf<S>;
  };
}
