// What a reload of the page comes back to: the login and the call. It stands in the storage of this one tab, which ends with the tab;
// never in `localStorage`, never in the address. Whoever leaves the call takes it with him.

import { isObject, objectAt, stringAt, type Json } from './json.ts';
import type { Profile } from './legacy-member.ts';
import type { MemberFormat } from './member-format.ts';

export interface Remembered {
  readonly homeserver: string;
  readonly user: string;
  readonly device: string;
  readonly token: string;
  readonly room: string;
  readonly mesh: boolean;
  readonly delegate: boolean;
  readonly format: MemberFormat;
  readonly profile: Profile;
  /** What was on: nobody is to be seen because of a reload who was not seen before it. */
  readonly microphone: boolean;
  readonly camera: boolean;
  /** The delayed leave that the homeserver still holds. It would be sent into the call that we have come back to. */
  readonly delayId: string | null;
}

/** A tab that is opened again later than this (browsers restore those of yesterday) is not taken into a call by itself. */
export const FRESH_MS = 60_000;
const KEY = 'rust-sfu.matrix';

type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

export class Memory {
  readonly #store: Store;
  readonly #wallClock: () => number;
  #remembered: Remembered | null = null;

  constructor(store: Store, wallClock: () => number) {
    this.#store = store;
    this.#wallClock = wallClock;
  }

  /** What was in use a moment ago; it is forgotten by this, until it is kept again. */
  take(): Remembered | null {
    const text = this.#store.getItem(KEY);
    this.forget();
    if (text === null) return null;
    try {
      const value: unknown = JSON.parse(text);
      return isObject(value) && this.#isFresh(value['at']) ? read(objectAt(value, 'remembered')) : null;
    } catch {
      return null;
    }
  }

  keep(remembered: Remembered): void {
    this.#remembered = remembered;
    this.touch();
  }

  update(change: Partial<Remembered>): void {
    if (this.#remembered) this.keep({ ...this.#remembered, ...change });
  }

  /** It is in use now. To be said now and then, and when the page goes. */
  touch(): void {
    if (this.#remembered) this.#store.setItem(KEY, JSON.stringify({ at: this.#wallClock(), remembered: this.#remembered }));
  }

  forget(): void {
    this.#remembered = null;
    this.#store.removeItem(KEY);
  }

  #isFresh(at: unknown): boolean {
    return typeof at === 'number' && Math.abs(this.#wallClock() - at) <= FRESH_MS;
  }
}

function read(value: Json | null): Remembered | null {
  if (!value) return null;
  const [homeserver, user, device, token, room] = ['homeserver', 'user', 'device', 'token', 'room'].map((key) => stringAt(value, key));
  if (!homeserver || !user || !device || !token || !room) return null;
  const is = (key: string): boolean => value[key] === true;
  return { homeserver, user, device, token, room, mesh: is('mesh'), delegate: is('delegate'), format: value['format'] === 'sticky' ? 'sticky' : 'state', profile: value['profile'] === 'pure' ? 'pure' : 'interop', microphone: is('microphone'), camera: is('camera'), delayId: stringAt(value, 'delayId') };
}
