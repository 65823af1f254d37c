import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { HomeserverError, type Homeserver, type RawEvent, type Room, type SentSticky, type Target, type ToDevice } from '../../src/matrix/homeserver.ts';
import type { Json } from '../../src/matrix/json.ts';
import type { Membership } from '../../src/matrix/membership.ts';
import { parseTransports } from '../../src/matrix/transport.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: Json | undefined;
  readonly query: Readonly<Record<string, string>> | undefined;
}

/** An event as homeservers send it, and the golden files have it. */
export interface WireEvent extends Json {
  readonly type: string;
  readonly event_id: string;
  readonly sender: string;
  readonly origin_server_ts: number;
  readonly content: Json;
  readonly state_key?: string;
  readonly redacts?: string;
}

export function raw({ type, event_id, sender, origin_server_ts, content, state_key }: WireEvent): RawEvent {
  return { type, sender, content, originServerTs: origin_server_ts, eventId: event_id, ...(state_key === undefined ? {} : { stateKey: state_key }) };
}

/** A homeserver that answers what the test says. */
export class FakeHomeserver implements Homeserver {
  readonly user = '@me:example.org';
  readonly device = 'MINE';
  readonly serverName = 'example.org';
  readonly asked: Asked[] = [];
  readonly learned: string[] = [];
  /** Whom nothing can be encrypted for. */
  missed: readonly Target[] = [];
  readonly sent: { type: string; to: string[]; content: Json }[] = [];
  answer: (asked: Asked) => Json | HomeserverError | Promise<never> = () => ({});
  readonly #listeners = new Set<(message: ToDevice) => void>();

  request(method: 'GET' | 'POST' | 'PUT', path: string, body?: Json, query?: Readonly<Record<string, string>>): Promise<Json> {
    const asked = { method, path, body, query };
    this.asked.push(asked);
    const answer = this.answer(asked);
    return answer instanceof HomeserverError ? Promise.reject(answer) : Promise.resolve(answer);
  }

  sendToDevice(type: string, targets: readonly Target[], content: Json): Promise<readonly Target[]> {
    this.sent.push({ type, to: targets.map(({ user, device }) => `${user} ${device}`), content });
    return Promise.resolve(this.missed);
  }

  learnDevices(user: string): Promise<void> {
    this.learned.push(user);
    return Promise.resolve();
  }

  onToDevice(listener: (message: ToDevice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A message comes. */
  deliver(message: ToDevice): void {
    for (const listener of this.#listeners) listener(message);
  }
}

/** A room as far as state keys of members go, and sending of sticky events. */
export class FakeRoom implements Pick<Room, 'id' | 'version' | 'state' | 'onChange' | 'sendSticky'> {
  readonly id = '!r:x';
  readonly version = '10';
  readonly said: { type: string; content: Json; durationMs: number }[] = [];
  /** What it says of who can read it. */
  readers: readonly Target[] | null = null;
  readonly #senders = new Map<string, string>();
  readonly #listeners = new Set<() => void>();

  state(type: string): RawEvent[] {
    return [...this.#senders].map(([stateKey, sender]) => ({ type, sender, content: {}, originServerTs: 0, eventId: '$state', stateKey }));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  sendSticky(type: string, content: Json, durationMs: number): Promise<SentSticky> {
    this.said.push({ type, content, durationMs });
    return Promise.resolve({ eventId: `$s${this.said.length}`, readers: this.readers });
  }

  /** Somebody writes there. */
  change(stateKey: string, sender: string): void {
    this.#senders.set(stateKey, sender);
    for (const listener of this.#listeners) listener();
  }
}

export function refusal(status: number, errcode: string, body: Json = {}): HomeserverError {
  return new HomeserverError(status, errcode, errcode, null, body);
}

/** Lets everything that is ready run; there are no timers in it. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

export function member(user: string, more: Partial<Membership> = {}, transports: readonly Json[] = [{ type: 'rust_sfu', url: 'wss://a', sfu_id: 'a' }]): Membership {
  const parsed = parseTransports(transports) ?? [];
  return {
    user,
    device: 'D',
    deviceFrom: 'content',
    memberId: `${user}:D`,
    slot: 'm.call#ROOM',
    application: 'm.call',
    intent: 'video',
    capabilities: [],
    createdAt: 0,
    expiresAt: 1e15,
    transports: parsed,
    canSubscribe: transports.map(({ type }) => String(type)),
    selection: 'multi_sfu',
    eventId: `$${user}`,
    sentAt: 0,
    form: 'legacy',
    ...more,
  };
}

/** The files of a folder of the crate's golden cases. */
export function goldens<T>(folder: string): { file: string; golden: T }[] {
  const root = path.resolve('../../crates/matrixrtc/golden', folder);
  const files = readdirSync(root).filter((name) => name.endsWith('.json')).sort().map((name) => path.join(root, name));
  return files.map((file) => ({ file, golden: JSON.parse(readFileSync(file, 'utf8')) as T }));
}
