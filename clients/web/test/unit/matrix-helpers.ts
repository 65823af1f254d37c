import { HomeserverError, type Homeserver, type ToDevice } from '../../src/matrix/homeserver.ts';
import type { Json } from '../../src/matrix/json.ts';
import type { Membership } from '../../src/matrix/membership.ts';
import { parseTransports } from '../../src/matrix/transport.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: Json | undefined;
  readonly query: Readonly<Record<string, string>> | undefined;
}

/** A homeserver that answers what the test says. */
export class FakeHomeserver implements Homeserver {
  readonly user = '@me:example.org';
  readonly device = 'MINE';
  readonly serverName = 'example.org';
  readonly asked: Asked[] = [];
  readonly sent: { type: string; to: string[]; content: Json }[] = [];
  answer: (asked: Asked) => Json | HomeserverError = () => ({});

  request(method: 'GET' | 'POST' | 'PUT', path: string, body?: Json, query?: Readonly<Record<string, string>>): Promise<Json> {
    const asked = { method, path, body, query };
    this.asked.push(asked);
    const answer = this.answer(asked);
    return answer instanceof HomeserverError ? Promise.reject(answer) : Promise.resolve(answer);
  }

  sendToDevice(type: string, targets: readonly { readonly user: string; readonly device: string }[], content: Json): Promise<void> {
    this.sent.push({ type, to: targets.map(({ user, device }) => `${user} ${device}`), content });
    return Promise.resolve();
  }

  onToDevice(_listener: (message: ToDevice) => void): () => void {
    return () => undefined;
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
