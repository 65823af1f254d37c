// The sessions that the crate `matrixrtc` plays through, with the same members at each step.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RawEvent } from '../../src/matrix/homeserver.ts';
import { DEFAULT_SLOT, type Membership } from '../../src/matrix/membership.ts';
import { changes, isSlotOpen, MemberEvents, members } from '../../src/matrix/session.ts';
import { stickyEnds } from '../../src/matrix/sticky-member.ts';
import { goldens, raw, type WireEvent } from './matrix-helpers.ts';

interface Golden {
  readonly about: string;
  readonly options: { readonly slot_rule?: 'required' };
  readonly steps: readonly { readonly at: number; readonly event?: WireEvent; readonly changes: readonly Record<string, unknown>[] }[];
  readonly members: readonly string[];
}

/** A room as a client that syncs keeps it: the newest state, the sticky map of MSC4354, redactions applied. */
class FakeRoom {
  readonly #state = new Map<string, RawEvent>();
  readonly #sticky = new Map<string, RawEvent & { rank: number }>();
  readonly #redacted = new Set<string>();

  handle(event: WireEvent, received: number): void {
    if (event.type === 'm.room.redaction') {
      this.#redacted.add(event.redacts ?? String(event.content['redacts']));
      return;
    }
    const read = raw(event);
    const sticky = (event['sticky'] ?? event['msc4354_sticky']) as { duration_ms: number } | undefined;
    if (event.state_key !== undefined) this.#state.set(`${event.type} ${event.state_key}`, read);
    else if (sticky) {
      const place = JSON.stringify([event.type, event.sender, event.content['sticky_key'] ?? event.content['msc4354_sticky_key']]);
      const rank = event.origin_server_ts + sticky.duration_ms;
      const known = this.#sticky.get(place);
      if (known && (known.rank > rank || (known.rank === rank && known.eventId >= event.event_id))) return;
      this.#sticky.set(place, { ...read, rank, stickyUntil: stickyEnds(event.origin_server_ts, received, sticky.duration_ms, null) });
    }
  }

  state(type: string): RawEvent[] {
    return this.#read([...this.#state.values()].filter((event) => event.type === type));
  }

  sticky(type: string): RawEvent[] {
    return this.#read([...this.#sticky.values()].filter((event) => event.type === type));
  }

  isJoined(user: string): boolean {
    return this.state('m.room.member').some(({ stateKey, content }) => stateKey === user && content['membership'] === 'join');
  }

  #read(events: RawEvent[]): RawEvent[] {
    return events.map((event) => (this.#redacted.has(event.eventId) ? { ...event, content: {}, redacted: true } : event));
  }
}

const nameOf = ({ user, device, memberId }: Membership): string => `${user} ${device} ${memberId}`;

for (const { golden } of goldens<Golden>('session')) {
  test(`golden session: ${golden.about}`, () => {
    const room = new FakeRoom();
    const events = new MemberEvents();
    let present: Membership[] = [];
    for (const { at, event, changes: expected } of golden.steps) {
      if (event) room.handle(event, at);
      const scope = { slot: DEFAULT_SLOT, now: at, isJoined: (user: string) => room.isJoined(user), isSlotOpen: isSlotOpen(room, DEFAULT_SLOT, golden.options.slot_rule) };
      const now = members(events.of(room), scope);
      const { joined, left, updated } = changes(present, now);
      present = now;
      const found = [...left.map((member) => `left ${nameOf(member)}`), ...joined.map((member) => `joined ${nameOf(member)}`), ...updated.map((member) => `updated ${nameOf(member)}`)];
      const wanted = expected.map((change) => ['left', 'joined', 'updated'].filter((what) => what in change).map((what) => `${what} ${typeof change[what] === 'string' ? change[what] : JSON.stringify(change[what])}`).join());
      assert.deepEqual(found.sort(), wanted.sort(), `at ${at}`);
    }
    assert.deepEqual(present.map(nameOf), golden.members);
  });
}
