// Our member event as room state: what every client reads.

import { stringAt, type Json } from './json.ts';
import { EXPIRES_MS, joinContent, stateKey } from './legacy-member.ts';
import { LEGACY_TYPE } from './membership.ts';
import { persistently, type OwnEvent, type OwnEventOptions, type Said, type Saying } from './own-event.ts';

const HEADROOM_MS = 5_000;

export class OwnState implements OwnEvent {
  readonly stateKey: string;
  readonly #options: OwnEventOptions;
  readonly #path: string;

  constructor(options: OwnEventOptions) {
    this.#options = options;
    const { homeserver, room, slot } = options;
    this.stateKey = stateKey(room.version, homeserver.user, homeserver.device, slot);
    this.#path = `/_matrix/client/v3/rooms/${encodeURIComponent(room.id)}/state/${encodeURIComponent(LEGACY_TYPE)}/${encodeURIComponent(this.stateKey)}`;
  }

  async join({ transports, createdAt, renewals }: Saying): Promise<Said> {
    const { homeserver, memberId, slot, intent, profile, wallClock } = this.#options;
    const expiresMs = EXPIRES_MS * (renewals + 1);
    const answer = await this.#put(joinContent({ device: homeserver.device, memberId, slot, intent, transports, createdAt, expiresMs, profile }));
    return { eventId: stringAt(answer, 'event_id'), renewBy: (createdAt ?? wallClock()) + expiresMs - HEADROOM_MS, readers: null };
  }

  leave(): Promise<unknown> {
    return this.#put({ leave_reason: 'leave' });
  }

  async scheduleLeave(delayMs: number): Promise<string | null> {
    const answer = await this.#options.homeserver.request('PUT', this.#path, { leave_reason: 'delayed_leave' }, { 'org.matrix.msc4140.delay': String(delayMs) });
    return stringAt(answer, 'delay_id');
  }

  #put(content: Json): Promise<Json> {
    const { homeserver, clock } = this.#options;
    return persistently(clock, () => homeserver.request('PUT', this.#path, content));
  }
}
