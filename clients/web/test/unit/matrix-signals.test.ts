import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FACTS_MAX, History } from '../../src/matrix/history.ts';
import type { RawEvent } from '../../src/matrix/homeserver.ts';
import type { Json } from '../../src/matrix/json.ts';
import { joinContent } from '../../src/matrix/legacy-member.ts';
import { LEGACY_TYPE } from '../../src/matrix/membership.ts';
import { firstGrapheme, HAND, HAND_EVENT, handContent, REACTION_EVENT, reactionContent, Reactions } from '../../src/matrix/reactions.ts';
import { DECLINE_TYPE, declineContent, LIFETIME_MS, NOTIFICATION_TYPE, notificationContent, readDecline, readNotification } from '../../src/matrix/notification.ts';
import { member } from './matrix-helpers.ts';

let ids = 0;
function event(type: string, sender: string, content: Json, at = 1000, stateKey?: string): RawEvent {
  return { type, sender, content, originServerTs: at, eventId: `$${++ids}`, ...(stateKey === undefined ? {} : { stateKey }) };
}

test('what we ring and decline with comes in as it went out', () => {
  const ring = event(NOTIFICATION_TYPE, '@a:x', notificationContent('$m', 'audio', 1000));
  assert.deepEqual(readNotification(ring), { eventId: ring.eventId, caller: '@a:x', slot: 'm.call#ROOM', loud: true, intent: 'audio', mentions: { room: true, users: [] }, until: 1000 + LIFETIME_MS });
  assert.equal(readDecline(event(DECLINE_TYPE, '@b:x', declineContent(ring.eventId))), ring.eventId);
  assert.equal(readNotification({ ...ring, redacted: true, content: {} }), 'withdrawn');
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

test('the past is bounded, and what we send is part of it', () => {
  const history = new History('m.call#ROOM');
  const join = (memberId: string): Json => joinContent({ device: 'D', memberId, slot: 'm.call#ROOM', transports: [], intent: 'video', createdAt: null, expiresMs: 1000, profile: 'interop' });
  for (let at = FACTS_MAX + 10; at > 0; at--) history.handle(event(LEGACY_TYPE, '@a:x', join('one'), at, '_@a:x_D_m.call'));
  const [started, joined] = history.items(2 * FACTS_MAX);
  assert.deepEqual([started?.kind, joined?.kind, started?.at], ['started', 'joined', 11]);
});
