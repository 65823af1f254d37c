// Our own member event as a sticky one, and what we write of ourselves in either format.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLeftMembershipContent } from 'matrix-js-sdk/lib/matrixrtc/membershipData/common.js';
import { checkRtcMembershipData } from 'matrix-js-sdk/lib/matrixrtc/membershipData/rtc.js';
import type { RawEvent } from '../../src/matrix/homeserver.ts';
import type { Json } from '../../src/matrix/json.ts';
import { DELAY_MS, RESTART_MS } from '../../src/matrix/last-will.ts';
import { EXPIRES_MS, joinContent, stateKey, type Profile } from '../../src/matrix/legacy-member.ts';
import { chooseFormat, formatAt, type MemberFormat } from '../../src/matrix/member-format.ts';
import { LEGACY_TYPE } from '../../src/matrix/membership.ts';
import { OwnHand } from '../../src/matrix/own-hand.ts';
import { OwnMember } from '../../src/matrix/own-member.ts';
import { HEADROOM_MS, STICKY_TYPE } from '../../src/matrix/own-sticky.ts';
import { readMember } from '../../src/matrix/session.ts';
import { stickyJoinContent, stickyLeaveContent } from '../../src/matrix/sticky-join.ts';
import { STICKY_MS_MAX } from '../../src/matrix/sticky-member.ts';
import { parseTransports } from '../../src/matrix/transport.ts';
import { FakeClock } from './helpers.ts';
import { FakeHomeserver, FakeRoom, goldens, refusal, settle, type Asked } from './matrix-helpers.ts';

interface Golden {
  readonly format: MemberFormat;
  readonly profile: Profile;
  readonly join: { user: string; device: string; member_id: string; slot: string; intent: string; created_at: number | null; transports: Json[] };
  readonly expected: Readonly<Record<'join' | 'leave' | 'delayed_leave', Json>>;
}

function written({ format, profile, join }: Golden): Golden['expected'] {
  const { user, device, member_id: memberId, slot, intent, created_at: createdAt } = join;
  const own = { user, device, memberId, slot, intent, createdAt, profile, transports: parseTransports(join.transports) ?? [] };
  if (format === 'sticky') {
    const event = (content: Json): Json => ({ type: STICKY_TYPE, sticky_duration_ms: STICKY_MS_MAX, content });
    return { join: event(stickyJoinContent(own)), leave: event(stickyLeaveContent(own, 'leave')), delayed_leave: event(stickyLeaveContent(own, 'delayed_leave')) };
  }
  const event = (content: Json): Json => ({ type: LEGACY_TYPE, state_key: stateKey('11', user, device, slot), content });
  return { join: event(joinContent({ ...own, expiresMs: EXPIRES_MS })), leave: event({ leave_reason: 'leave' }), delayed_leave: event({ leave_reason: 'delayed_leave' }) };
}

for (const { file, golden } of goldens<Golden>('own')) {
  // The order of keys means nothing.
  test(`golden own event: ${file.split('/').at(-1)?.replace('.json', '')}`, () => assert.deepEqual(written(golden), golden.expected));
}

/** What clients built on matrix-js-sdk make of it. */
test('the reference client reads the interop profile, and takes the leave for one', () => {
  const read = (name: string): Golden['expected'] => goldens<Golden>('own').find(({ file }) => file.endsWith(`/${name}.json`))?.golden.expected ?? assert.fail(name);
  const content = (event: Json): Json => event['content'] as Json;
  for (const name of ['sticky_interop', 'sticky_interop_first']) {
    const { join, leave, delayed_leave } = read(name);
    assert.ok(checkRtcMembershipData(content(join), '@alice:example.org'));
    assert.deepEqual([join, leave, delayed_leave].map((event) => isLeftMembershipContent(content(event))), [false, true, true]);
  }
  // Why there are two profiles: the oracle does say no.
  assert.throws(() => checkRtcMembershipData(content(read('sticky_pure').join), '@alice:example.org'));
  assert.equal(isLeftMembershipContent(content(read('sticky_pure').leave)), false);
});

const isDelayed = ({ query }: Asked): boolean => query?.['org.matrix.msc4140.delay'] !== undefined;
const words = ({ path, query }: Asked): string => (isDelayed({ query } as Asked) ? 'schedule' : /delayed_events\/([^/]+)\/(\w+)$/.exec(path)?.slice(1).join(' ') ?? 'leave');
const transports = parseTransports([{ type: 'rust_sfu', url: 'wss://a', sfu_id: 'a' }]) ?? [];

function setUp(): { homeserver: FakeHomeserver; clock: FakeClock; room: FakeRoom; own: OwnMember; asked: () => string[] } {
  const [homeserver, clock, room] = [new FakeHomeserver(), new FakeClock(), new FakeRoom()];
  let ids = 0;
  homeserver.answer = (asked) => (isDelayed(asked) ? { delay_id: `d${++ids}` } : { event_id: '$left' });
  const own = new OwnMember({ homeserver, clock, room, slot: 'm.call#ROOM', memberId: 'one', intent: 'video', format: 'sticky', profile: 'interop', wallClock: () => clock.now() });
  return { homeserver, clock, room, own, asked: () => homeserver.asked.map(words) };
}

const mine = { eventId: '$s1', isOurs: true, sentAt: 7 };
const dan = { user: '@dan:x', device: 'NEW' };

test('the last will of a sticky event comes first, is sticky itself, and leaves the same member', async () => {
  const { homeserver, room, own, asked } = setUp();
  await own.join(transports);
  assert.deepEqual(asked(), ['schedule']);
  assert.equal(room.said.length, 1);
  const [will] = homeserver.asked;
  assert.match(will?.path ?? '', /\/send\/org\.matrix\.msc4143\.rtc\.member\/[\w-]+$/);
  assert.deepEqual(will?.query, { 'org.matrix.msc4354.sticky_duration_ms': String(STICKY_MS_MAX), 'org.matrix.msc4140.delay': String(DELAY_MS) });
  await own.leave(room);
  assert.deepEqual(asked(), ['schedule', 'leave', 'd1 cancel']);
  const [joined, left] = [room.said[0]?.content, homeserver.asked[1]].map((it) => it as Json | Asked | undefined);
  const event = (content: Json): RawEvent => ({ type: STICKY_TYPE, sender: homeserver.user, content, originServerTs: 5, eventId: '$e', stickyUntil: 1e15 });
  const claim = readMember(event(joined as Json));
  assert.equal(claim.is === 'joined' && claim.membership.memberId, 'one');
  assert.equal(readMember(event((left as Asked).body ?? {})).is, 'left');
  assert.deepEqual([(left as Asked).body?.['msc4354_sticky_key'], (left as Asked).query?.['org.matrix.msc4354.sticky_duration_ms']], ['one', String(STICKY_MS_MAX)]);
  assert.notEqual((left as Asked).path, will?.path, 'a transaction of its own');
});

test('it is said again before it ceases to be sticky, with the same beginning and for as long', async () => {
  const { clock, room, own } = setUp();
  await own.join(transports);
  own.seen(mine, room);
  for (const times of [2, 3]) {
    clock.advance(STICKY_MS_MAX - HEADROOM_MS - 1);
    await settle();
    assert.equal(room.said.length, times - 1);
    clock.advance(1);
    await settle();
    assert.equal(room.said.length, times);
    assert.deepEqual([room.said.at(-1)?.content['org.rust_sfu.created_ts'], room.said.at(-1)?.durationMs], [7, STICKY_MS_MAX]);
  }
});

test('who comes with a device for which it was not encrypted has it said again, once', async () => {
  const { homeserver, clock, room, own } = setUp();
  const known = { user: '@bob:x', device: 'OLD' };
  room.readers = [homeserver, known];
  await own.join(transports);
  own.seen(mine, room, [known]);
  clock.advance(5000);
  await settle();
  assert.equal(room.said.length, 1, 'it can be read by all');
  own.seen(mine, room, [known, dan]);
  own.seen(mine, room, [known, dan]);
  clock.advance(0);
  // Encryption takes its time, and the room goes on.
  own.seen(mine, room, [known, dan]);
  clock.advance(3000);
  await settle();
  assert.equal(room.said.length, 2);
  assert.equal(room.said[1]?.content['org.rust_sfu.created_ts'], 7, 'the same stay');
  // The device cannot be encrypted for.
  own.seen(mine, room, [known, dan]);
  clock.advance(60_000);
  await settle();
  assert.equal(room.said.length, 2);
});

test('our hand goes with the event that it refers to', async () => {
  const sets: string[] = [];
  const hand = new OwnHand({ set: (event, up) => Promise.resolve(void sets.push(`${event} ${up ? 'up' : 'down'}`)) });
  await hand.follow('$1');
  assert.deepEqual(sets, [], 'it is not up');
  await hand.raise('$1', true);
  await hand.follow('$1');
  await hand.follow('$2');
  assert.deepEqual(sets.splice(0), ['$1 up', '$2 up', '$1 down']);
  await hand.raise('$2', false);
  await hand.follow('$3');
  assert.deepEqual(sets, ['$2 down']);
});

test('what is in clear can be read by whoever comes', async () => {
  const { clock, room, own } = setUp();
  await own.join(transports);
  own.seen(mine, room, [dan]);
  clock.advance(60_000);
  await settle();
  assert.equal(room.said.length, 1);
});

test('a will that is gone was sent: a new one, and we say again that we are there', async () => {
  const { homeserver, clock, room, own, asked } = setUp();
  await own.join(transports);
  const before = homeserver.answer;
  homeserver.answer = (request) => (request.path.includes('/d1/') ? refusal(404, 'M_NOT_FOUND') : before(request));
  clock.advance(RESTART_MS);
  await settle();
  assert.deepEqual(asked().slice(1), ['d1 restart', 'schedule']);
  assert.equal(room.said.length, 2);
});

test('the will of the page before is sent, for its event has a key of its own', async () => {
  const { own, asked } = setUp();
  await own.join(transports);
  own.endFormer('former');
  assert.deepEqual(asked().slice(1), ['former send']);
});

test('sticky events only where the homeserver announces them', async () => {
  const announced = (value: unknown): Json => ({ unstable_features: { 'org.matrix.msc4354': value } });
  assert.equal(chooseFormat('sticky', announced(true)), 'sticky');
  assert.equal(chooseFormat('state', announced(true)), 'state');
  for (const no of [announced(false), announced('true'), {}]) assert.equal(chooseFormat('sticky', no), 'state');
  const homeserver = new FakeHomeserver();
  homeserver.answer = () => refusal(0, 'M_UNREACHABLE');
  assert.equal(await formatAt(homeserver, 'sticky'), 'state');
  homeserver.answer = ({ path }) => (path === '/_matrix/client/versions' ? announced(true) : {});
  assert.equal(await formatAt(homeserver, 'sticky'), 'sticky');
});
