import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History } from '../../src/matrix/history.ts';
import type { RawEvent } from '../../src/matrix/homeserver.ts';
import type { Json } from '../../src/matrix/json.ts';
import { joinContent } from '../../src/matrix/legacy-member.ts';
import { LEGACY_TYPE } from '../../src/matrix/membership.ts';
import { firstGrapheme, HAND, HAND_EVENT, handContent, REACTION_EVENT, reactionContent, Reactions } from '../../src/matrix/reactions.ts';
import { DECLINE_TYPE, declineContent, LIFETIME_MS, NOTIFICATION_TYPE, notificationContent, Outgoing, Ringing } from '../../src/matrix/ringing.ts';
import { member } from './matrix-helpers.ts';

let ids = 0;
function event(type: string, sender: string, content: Json, at = 1000, stateKey?: string): RawEvent {
  return { type, sender, content, originServerTs: at, eventId: `$${++ids}`, ...(stateKey === undefined ? {} : { stateKey }) };
}

const ME = '@me:x';
const everybodyIn = (...users: string[]) => (user: string): boolean => users.includes(user);

test('it rings until it is answered, declined, out of time, or the caller is gone', () => {
  const notification = event(NOTIFICATION_TYPE, '@a:x', notificationContent('$m', 'video', 1000));
  const ringing = new Ringing(ME);
  ringing.handle(notification);
  assert.equal(ringing.current(2000, everybodyIn('@a:x'))?.caller, '@a:x');
  assert.equal(ringing.current(2000, everybodyIn('@a:x', ME)), null, 'answered');
  assert.equal(ringing.current(2000, everybodyIn()), null, 'the caller is gone');
  assert.equal(ringing.current(1000 + LIFETIME_MS, everybodyIn('@a:x')), null, 'out of time');
  ringing.handle(event(DECLINE_TYPE, '@b:x', declineContent(notification.eventId)));
  assert.ok(ringing.current(2000, everybodyIn('@a:x')), 'somebody else declined');
  ringing.handle(event(DECLINE_TYPE, ME, declineContent(notification.eventId)));
  assert.equal(ringing.current(2000, everybodyIn('@a:x')), null);
});

test('notifications that are malformed, ours, for others or too long', () => {
  const good = notificationContent('$m', 'audio', 1000);
  const rings = (content: Json, sender = '@a:x', at = 1000): number | null => {
    const ringing = new Ringing(ME);
    ringing.handle(event(NOTIFICATION_TYPE, sender, content, at));
    return ringing.current(1001, everybodyIn(sender))?.until ?? null;
  };
  assert.equal(rings(good), 1000 + LIFETIME_MS);
  assert.equal(rings({ ...good, lifetime: 1e9 }), 91_000);
  assert.equal(rings({ ...good, sender_ts: 1e12 }), 1000 + LIFETIME_MS, 'a clock that is wrong');
  assert.ok(rings({ ...good, 'm.mentions': { user_ids: [ME] } }));
  for (const bad of [{ ...good, 'm.mentions': { user_ids: ['@b:x'] } }, { ...good, 'm.mentions': 1 }, { ...good, lifetime: 'x' }, { ...good, notification_type: 'shout' }, { ...good, 'm.relates_to': { rel_type: 'm.thread', event_id: '$m' } }]) {
    assert.equal(rings(bad), null, JSON.stringify(bad));
  }
  assert.equal(rings(good, ME), null);
});

test('what becomes of our own ringing', () => {
  const outgoing = new Outgoing();
  assert.equal(outgoing.state(0, 2), 'none');
  outgoing.sent('$n', 0);
  assert.equal(outgoing.state(1, 2), 'ringing');
  outgoing.handle(event(DECLINE_TYPE, '@a:x', declineContent('$n')), ME);
  outgoing.handle(event(DECLINE_TYPE, '@a:x', declineContent('$n')), ME);
  outgoing.handle(event(DECLINE_TYPE, '@b:x', declineContent('$other')), ME);
  assert.equal(outgoing.state(1, 2), 'ringing', 'one of two');
  outgoing.handle(event(DECLINE_TYPE, '@b:x', declineContent('$n')), ME);
  assert.equal(outgoing.state(1, 2), 'declined');
  assert.equal(outgoing.state(LIFETIME_MS, 3), 'unanswered');
  outgoing.answered();
  assert.equal(outgoing.state(LIFETIME_MS, 3), 'answered');
});

test('hands: only one’s own, until it is lowered or the membership is another', () => {
  const [alice, bob] = [member('@a:x'), member('@b:x')];
  const reactions = new Reactions();
  const hand = event(HAND_EVENT, '@a:x', handContent(alice.eventId), 5);
  reactions.handle(hand, [alice, bob], 5);
  reactions.handle(event(HAND_EVENT, '@m:x', handContent(bob.eventId)), [alice, bob], 5);
  assert.equal(reactions.hand(alice), 5);
  assert.equal(reactions.hand(bob), null, 'raised by another');
  assert.equal(reactions.hand({ ...alice, eventId: '$new' }), null);
  assert.equal(reactions.handEvent(alice.eventId, '@a:x'), hand.eventId);
  reactions.redacted(hand.eventId);
  assert.equal(reactions.hand(alice), null);
  reactions.handle(event('m.reaction', '@a:x', { 'm.relates_to': { rel_type: 'm.annotation', event_id: alice.eventId, key: '👍' } }), [alice], 5);
  assert.equal(reactions.hand(alice), null, `not ${HAND}`);
});

test('reactions: of a member, fresh, one grapheme', () => {
  const alice = member('@a:x');
  const react = (sender: string, emoji: string, at = 1000): string | null => new Reactions().handle(event(REACTION_EVENT, sender, reactionContent(alice.eventId, emoji, 'x'), at), [alice], 1000)?.emoji ?? null;
  assert.equal(react('@a:x', '👍🏽👍'), '👍🏽');
  assert.equal(react('@m:x', '👍'), null);
  assert.equal(react('@a:x', ''), null);
  assert.equal(react('@a:x', '👍', -1e6), null, 'from the past of the timeline');
  assert.equal(firstGrapheme('👨‍👩‍👧x'), '👨‍👩‍👧');
});

test('history: joined, left, lost; renewals make no line', () => {
  const join = (memberId: string): Json => joinContent({ device: 'D', memberId, slot: 'm.call#ROOM', transports: [], intent: 'video', createdAt: null, expiresMs: 1000 });
  const history = new History();
  const say = (user: string, content: Json, at: number): boolean => history.handle(event(LEGACY_TYPE, user, content, at, `_${user}_D_m.call`));
  assert.ok(say('@a:x', join('one'), 1));
  assert.ok(!say('@a:x', join('one'), 2));
  assert.ok(say('@a:x', { leave_reason: 'leave' }, 3));
  assert.ok(!say('@a:x', {}, 4), 'left already');
  assert.ok(say('@b:x', join('two'), 5));
  assert.ok(say('@b:x', { leave_reason: 'delayed_leave' }, 6));
  assert.ok(!history.handle(event('m.room.message', '@b:x', {})));
  assert.deepEqual(history.lines.map(({ kind, user, at }) => `${at} ${user} ${kind}`), ['1 @a:x joined', '3 @a:x left', '5 @b:x joined', '6 @b:x lost']);
});
