import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call, CallEvents, CallState } from '../../src/call.ts';
import { Emitter } from '../../src/emitter.ts';
import { AGAIN_MAX, AGAIN_MS } from '../../src/matrix/after-leave.ts';
import { delegate } from '../../src/matrix/delegation.ts';
import { DELAY_MS, LastWill, RESTART_MS } from '../../src/matrix/last-will.ts';
import { EXPIRES_MS, joinContent, TRANSPORTS_KEY } from '../../src/matrix/legacy-member.ts';
import { readMember } from '../../src/matrix/session.ts';
import { OwnMember } from '../../src/matrix/own-member.ts';
import { parseTransport } from '../../src/matrix/transport.ts';
import type { Delegation } from '../../src/wire.ts';
import { FakeClock } from './helpers.ts';
import { FakeHomeserver, FakeRoom, refusal, settle, type Asked } from './matrix-helpers.ts';

const isDelayed = ({ query }: Asked): boolean => query?.['org.matrix.msc4140.delay'] !== undefined;
const actions = (asked: readonly Asked[]): string[] =>
  asked.map((request) => (isDelayed(request) ? `schedule ${request.query?.['org.matrix.msc4140.delay']}` : /delayed_events\/([^/]+)\/(\w+)$/.exec(request.path)?.slice(1).join(' ')) ?? (Object.keys(request.body ?? {}).length > 1 ? 'join' : 'leave'));

function setUp(): { homeserver: FakeHomeserver; clock: FakeClock; own: OwnMember } {
  const [homeserver, clock] = [new FakeHomeserver(), new FakeClock()];
  let ids = 0;
  homeserver.answer = (asked) => (isDelayed(asked) ? { delay_id: `d${++ids}` } : { event_id: `$e${++ids}` });
  const own = new OwnMember({ homeserver, clock, room: new FakeRoom(), slot: 'm.call#ROOM', memberId: 'one', intent: 'video', format: 'state', profile: 'interop', wallClock: () => clock.now() });
  return { homeserver, clock, own };
}

const focus = parseTransport({ type: 'rust_sfu', url: 'wss://a', sfu_id: 'a' });
const transports = focus ? [focus] : [];

test('the last will comes first, is put off every few seconds, and is cancelled after the leave', async () => {
  const { homeserver, clock, own } = setUp();
  await own.join(transports);
  assert.deepEqual(actions(homeserver.asked), [`schedule ${DELAY_MS}`, 'join']);
  for (let i = 0; i < 3; i++) {
    clock.advance(RESTART_MS);
    await settle();
  }
  assert.deepEqual(actions(homeserver.asked).slice(2), ['d1 restart', 'd1 restart', 'd1 restart']);
  await own.leave(new FakeRoom());
  assert.deepEqual(actions(homeserver.asked).slice(5), ['leave', 'd1 cancel']);
  clock.advance(10 * RESTART_MS);
  await settle();
  assert.equal(homeserver.asked.length, 7, 'nothing after the end');
});

test('what we publish is read back as a member, without anything that other clients stumble over', async () => {
  const { homeserver, own } = setUp();
  await own.join(transports);
  const content = homeserver.asked[1]?.body ?? {};
  assert.deepEqual(content['foci_preferred'], []);
  assert.deepEqual(content['focus_active'], { type: 'livekit', focus_selection: 'multi_sfu' });
  assert.deepEqual(content[TRANSPORTS_KEY], [{ type: 'rust_sfu', url: 'wss://a', sfu_id: 'a' }]);
  const claim = readMember({ type: 'org.matrix.msc3401.call.member', sender: homeserver.user, content, originServerTs: 5, eventId: '$e', stateKey: `_${homeserver.user}_MINE_m.call` });
  assert.equal(claim.is === 'joined' && claim.membership.memberId, 'one');
  assert.ok(decodeURIComponent(homeserver.asked[1]?.path ?? '').endsWith(`_${homeserver.user}_MINE_m.call`));
});

test('the pure profile says the same to those that know the transport', () => {
  const join = { device: 'MINE', memberId: 'one', slot: 'm.call#ROOM', transports, intent: 'video', createdAt: 5, expiresMs: 1000 };
  const [interop, pure] = (['interop', 'pure'] as const).map((profile) => {
    const claim = readMember({ type: 'org.matrix.msc3401.call.member', sender: '@me:x', content: joinContent({ ...join, profile }), originServerTs: 5, eventId: '$e', stateKey: '_@me:x_MINE_m.call' });
    assert.equal(claim.is, 'joined');
    return claim.is === 'joined' ? claim.membership : null;
  });
  assert.deepEqual(pure, interop);
  assert.equal(TRANSPORTS_KEY in joinContent({ ...join, profile: 'pure' }), false);
});

test('a will that is gone was sent: a new one, and we say again that we are there', async () => {
  const { homeserver, clock, own } = setUp();
  await own.join(transports);
  const before = homeserver.answer;
  homeserver.answer = (asked) => (asked.path.includes('/d1/') ? refusal(404, 'M_NOT_FOUND') : before(asked));
  clock.advance(RESTART_MS);
  await settle();
  assert.deepEqual(actions(homeserver.asked).slice(2), ['d1 restart', `schedule ${DELAY_MS}`, 'join']);
});

test('a homeserver that does not answer for a while is asked again', async () => {
  const { homeserver, clock, own } = setUp();
  await own.join(transports);
  const before = homeserver.answer;
  homeserver.answer = () => refusal(0, 'M_UNREACHABLE');
  clock.advance(RESTART_MS);
  await settle();
  homeserver.answer = before;
  clock.advance(1000);
  await settle();
  assert.deepEqual(actions(homeserver.asked).slice(2), ['d1 restart', 'd1 restart']);
});

test('without delayed events we join all the same; a delay that is too long is made shorter', async () => {
  const { homeserver, clock, own } = setUp();
  homeserver.answer = (asked) => (isDelayed(asked) ? refusal(400, 'M_UNRECOGNIZED') : { event_id: '$e' });
  await own.join(transports);
  assert.deepEqual(actions(homeserver.asked), [`schedule ${DELAY_MS}`, 'join']);
  assert.equal(own.will.supported, false);
  await own.leave(new FakeRoom());

  const tried: number[] = [];
  const schedule = (delayMs: number): Promise<string> => {
    tried.push(delayMs);
    return delayMs > 4000 ? Promise.reject(refusal(400, 'M_UNKNOWN', { 'org.matrix.msc4140.errcode': 'M_MAX_DELAY_EXCEEDED', 'org.matrix.msc4140.max_delay': 4000 })) : Promise.resolve('x');
  };
  const will = new LastWill({ homeserver, clock, schedule, lost: () => undefined });
  await will.schedule();
  assert.deepEqual(tried, [DELAY_MS, 4000]);
  assert.equal(will.delayId, 'x');
});

test('an answer without a delay id means that the leave was sent at once: the join that follows undoes it', async () => {
  const { homeserver, own } = setUp();
  homeserver.answer = () => ({ event_id: '$e' });
  await own.join(transports);
  assert.equal(own.will.delayId, null);
  assert.equal(actions(homeserver.asked).at(-1), 'join');
});

test('it is renewed before it runs out, with the same beginning', async () => {
  const { homeserver, clock, own } = setUp();
  await own.join(transports);
  own.seen({ eventId: '$mine', isOurs: true, sentAt: 7 }, new FakeRoom());
  homeserver.asked.length = 0;
  clock.advance(EXPIRES_MS - 5000);
  await settle();
  const renewal = homeserver.asked.find((asked) => actions([asked])[0] === 'join');
  assert.equal(renewal?.body?.['created_ts'], 7);
  assert.equal(renewal?.body?.['expires'], 2 * EXPIRES_MS);
});

test('whoever removes our event, or writes over it, only makes us say it again', async () => {
  for (const isGone of [true, false]) {
    const { homeserver, clock, own } = setUp();
    const room = new FakeRoom();
    if (!isGone) room.change(own.stateKey ?? '', '@mod:x');
    await own.join(transports);
    own.seen({ eventId: '$mine', isOurs: true, sentAt: 7 }, new FakeRoom());
    homeserver.asked.length = 0;
    // Written over, it still counts here, and yet must be said again.
    const seen = isGone ? null : { eventId: '$mine', isOurs: true, sentAt: 7 };
    own.seen(seen, room);
    await settle();
    assert.deepEqual(actions(homeserver.asked), [], 'the room may only be behind');
    own.seen(seen, room);
    clock.advance(3000);
    await settle();
    assert.deepEqual(actions(homeserver.asked), ['join'], 'once, though nothing else happened');
  }
});

test('what the room has back in time is not said again', async () => {
  const { homeserver, clock, own } = setUp();
  await own.join(transports);
  const back = { eventId: '$mine', isOurs: true, sentAt: 7 };
  own.seen(back, new FakeRoom());
  homeserver.asked.length = 0;
  own.seen(null, new FakeRoom());
  clock.advance(2900);
  own.seen(back, new FakeRoom());
  clock.advance(1000);
  await settle();
  assert.deepEqual(actions(homeserver.asked), []);
});

test('written over just as we left: the leave is said again, now and then, and not for ever', async () => {
  const { homeserver, clock, own } = setUp();
  const room = new FakeRoom();
  await own.join(transports);
  await own.leave(room);
  homeserver.asked.length = 0;
  room.change(own.stateKey ?? '', homeserver.user);
  await settle();
  assert.deepEqual(actions(homeserver.asked), [], 'our own leave is no such thing');
  room.change(own.stateKey ?? '', '@mod:x');
  room.change(own.stateKey ?? '', '@mod:x');
  await settle();
  assert.deepEqual(actions(homeserver.asked), ['leave']);
  clock.advance(AGAIN_MS);
  await settle();
  assert.deepEqual(actions(homeserver.asked), ['leave', 'leave'], 'it still stands there');
  room.change(own.stateKey ?? '', homeserver.user);
  clock.advance(AGAIN_MS);
  await settle();
  assert.equal(homeserver.asked.length, 2, 'ours is back');
  for (let i = 0; i < 20; i++) {
    room.change(own.stateKey ?? '', '@mod:x');
    clock.advance(AGAIN_MS / 2);
    await settle();
  }
  assert.equal(homeserver.asked.length, AGAIN_MAX);
});

test('who joins again is not made to leave by the call before', async () => {
  const { homeserver, own } = setUp();
  const room = new FakeRoom();
  await own.join(transports);
  await own.leave(room);
  own.forget();
  homeserver.asked.length = 0;
  room.change(own.stateKey ?? '', '@mod:x');
  await settle();
  assert.deepEqual(homeserver.asked, []);
});

class FakeCall extends Emitter<Pick<CallEvents, 'state' | 'delegated'>> {
  state: CallState = 'joined';
  readonly offered: string[] = [];

  delegateLeave({ delay_id }: { delay_id: string }): void {
    this.offered.push(delay_id);
  }

  say(state: Delegation): void {
    this.emit('delegated', { state });
  }

  become(state: CallState): void {
    this.state = state;
    this.emit('state', state);
  }
}

async function delegated(): Promise<ReturnType<typeof setUp> & { call: FakeCall; stop: () => void }> {
  const made = setUp();
  await made.own.join(transports);
  const call = new FakeCall();
  const stop = delegate({ call: call as unknown as Call, will: made.own.will, serverName: 'example.org', clock: made.clock });
  await settle();
  made.homeserver.asked.length = 0;
  return { ...made, call, stop };
}

test('the focus restarts a second, long leave; ours ends only once it has agreed', async () => {
  const { homeserver, clock, own, call } = await delegated();
  assert.deepEqual(call.offered, ['d3']);
  clock.advance(RESTART_MS);
  await settle();
  assert.deepEqual(actions(homeserver.asked), ['d1 restart']);
  call.say('held');
  await settle();
  clock.advance(10 * RESTART_MS);
  await settle();
  assert.deepEqual(actions(homeserver.asked), ['d1 restart', 'd1 cancel']);
  assert.equal(own.will.delayId, 'd3');
  await own.leave(new FakeRoom());
  assert.deepEqual(actions(homeserver.asked).slice(2), ['leave', 'd3 cancel']);
});

test('when the socket is lost, or the focus gives up, we restart a new one ourselves', async () => {
  for (const lose of [(call: FakeCall) => call.become('reconnecting'), (call: FakeCall) => call.say('lost')]) {
    const { homeserver, clock, call } = await delegated();
    call.say('held');
    await settle();
    homeserver.asked.length = 0;
    lose(call);
    await settle();
    assert.deepEqual(actions(homeserver.asked), [`schedule ${DELAY_MS}`, 'd3 cancel']);
    clock.advance(RESTART_MS);
    await settle();
    assert.match(actions(homeserver.asked).at(-1) ?? '', /^d[4-9] restart$/);
  }
});

test('no answer is a no: what was lent is not to be sent', async () => {
  const { homeserver, clock, own } = await delegated();
  clock.advance(10_000);
  await settle();
  assert.ok(actions(homeserver.asked).includes('d3 cancel'));
  assert.equal(own.will.delayId, 'd1');
});
