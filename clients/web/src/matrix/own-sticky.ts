// Our member event as a sticky one (MSC4354): encrypted where the room is, delivered to everybody for an hour, and then gone unless it
// was said again. Leaves go out in clear. The homeserver could not encrypt the one that it holds back for us, and a page that is being
// closed has no time to; they say nothing but that an opaque id is over.

import { stringAt, type Json } from './json.ts';
import { persistently, type OwnEvent, type OwnEventOptions, type Said, type Saying } from './own-event.ts';
import { stickyJoinContent, stickyLeaveContent } from './sticky-join.ts';
import { STICKY_MS_MAX } from './sticky-member.ts';

export const STICKY_TYPE = 'org.matrix.msc4143.rtc.member';
/** Longer than for state: a server that gets the renewal late has forgotten the event before it. */
export const HEADROOM_MS = 60_000;
const DURATION = { 'org.matrix.msc4354.sticky_duration_ms': String(STICKY_MS_MAX) };

export class OwnSticky implements OwnEvent {
  readonly stateKey = null;
  readonly #options: OwnEventOptions;

  constructor(options: OwnEventOptions) {
    this.#options = options;
  }

  async join({ transports, createdAt }: Saying): Promise<Said> {
    const { homeserver: { user, device }, room, clock, wallClock, memberId, slot, intent, profile } = this.#options;
    const content = stickyJoinContent({ user, device, memberId, slot, transports, intent, createdAt, profile });
    const { eventId, readers } = await persistently(clock, () => room.sendSticky(STICKY_TYPE, content, STICKY_MS_MAX));
    return { eventId, renewBy: wallClock() + STICKY_MS_MAX - HEADROOM_MS, readers };
  }

  leave(): Promise<unknown> {
    const content = stickyLeaveContent(this.#options, 'leave');
    const path = this.#newPath();
    return persistently(this.#options.clock, () => this.#options.homeserver.request('PUT', path, content, DURATION));
  }

  async scheduleLeave(delayMs: number): Promise<string | null> {
    const content: Json = stickyLeaveContent(this.#options, 'delayed_leave');
    return stringAt(await this.#options.homeserver.request('PUT', this.#newPath(), content, { ...DURATION, 'org.matrix.msc4140.delay': String(delayMs) }), 'delay_id');
  }

  #newPath(): string {
    const { id } = this.#options.room;
    return `/_matrix/client/v3/rooms/${encodeURIComponent(id)}/send/${encodeURIComponent(STICKY_TYPE)}/${crypto.randomUUID()}`;
  }
}
