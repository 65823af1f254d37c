import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hash, participantIdentity } from '../../src/matrix/identity.ts';
import { KeyBox, STRANGERS_MAX } from '../../src/matrix/key-box.ts';
import { KEY_TYPE, keyContent, readKey } from '../../src/matrix/key-message.ts';
import { FIXED } from '../../src/matrix/key-policy.ts';
import { KEY_REQUEST_TYPE, KeyAsker, keyRequestContent, readKeyRequest } from '../../src/matrix/key-request.ts';
import { KeyRing } from '../../src/matrix/key-ring.ts';
import type { Membership } from '../../src/matrix/membership.ts';
import { FakeClock } from './helpers.ts';
import { member } from './matrix-helpers.ts';

function ring(): { ring: KeyRing; clock: FakeClock; log: string[]; holders: (index: number) => string[]; used: { index: number; at: number }[] } {
  const clock = new FakeClock();
  const log: string[] = [];
  const given = new Map<number, Set<string>>();
  const used: { index: number; at: number }[] = [];
  const made = new KeyRing({
    clock,
    prepare: () => undefined,
    use: (index) => void (used.push({ index, at: clock.now() }), log.push(`use ${index}`)),
    send: ({ request, key: { index }, to }) => {
      clock.after(0, () => made.sent(request, []));
      const holders = given.get(index) ?? new Set();
      for (const { user } of to) holders.add(user);
      given.set(index, holders);
      log.push(`send ${index} to ${to.map(({ user }) => user).join()}`);
    },
  });
  return { ring: made, clock, log, used, holders: (index) => [...(given.get(index) ?? [])] };
}

test('the vectors of MSC4195', async () => {
  assert.equal(await hash(['!roomid:example.com', 'slot1234']), 'O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc');
  assert.equal(await hash(['!room:example.com', 'm.call#ROOM']), 'krj2dgxw2K6EOm9he4GfQJ6JsSVWfJ8a7BkyjZcSmxs');
  assert.equal(await participantIdentity('@alice:example.com', 'memberABC'), 'M3VnsLXrkbxIDINXO64u8PZzFyD9ZYFiQULR2dshWYs');
});

/** However they come and go: nobody who left holds a key that comes into use more than the delay after he was seen to leave. */
test('random comings and goings', () => {
  const people = ['a', 'b', 'c', 'd', 'e'].map((name) => member(`@${name}:x`));
  for (let seed = 1; seed <= 200; seed++) {
    let state = seed * 2654435761;
    const random = (below: number): number => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0), state % below);
    const { ring: keys, clock, used, holders } = ring();
    const leftAt = new Map<string, number>();
    let present: Membership[] = [];
    for (let step = 0; step < 40; step++) {
      const who = people[random(people.length)];
      if (!who) continue;
      if (present.includes(who)) {
        present = present.filter((one) => one !== who);
        leftAt.set(who.user, clock.now());
      } else if (!leftAt.has(who.user)) {
        present = [...present, who];
      }
      keys.setMembers(present);
      clock.advance(random(3000));
    }
    clock.advance(FIXED.useDelayMs);
    // A key is in use until the next one is. Whoever left holds none that still is once the use delay is over.
    used.forEach(({ index }, n) => {
      const until = used[n + 1]?.at ?? Infinity;
      for (const holder of holders(index)) assert.ok(until <= (leftAt.get(holder) ?? Infinity) + FIXED.useDelayMs, `seed ${seed}: ${holder} can open key ${index}`);
    });
  }
});

test('key messages: what goes out comes in, and nothing else does', () => {
  const content = keyContent('!room:x', { id: '@alice:x:D', device: 'D' }, { index: 3, key: new Uint8Array(16).fill(7) }, 100);
  const read = readKey(KEY_TYPE, content);
  assert.deepEqual(read, { room: '!room:x', slot: 'm.call#ROOM', device: 'D', memberId: '@alice:x:D', index: 3, key: new Uint8Array(16).fill(7), sentAt: 100 });
  assert.equal(readKey('m.room.message', content), null);
});

test('keys for members that never come are bounded', () => {
  const given: string[] = [];
  const box = new KeyBox({ clock: new FakeClock(), room: '!room:x', slot: 'm.call#ROOM', own: { user: '@me:x', device: 'D' }, set: (identity) => void given.push(identity), remove: () => undefined });
  const users = Array.from({ length: 1000 }, (_, i) => `@u${i}:x`);
  for (const user of users) box.add(user, 'D', { room: '!room:x', memberId: null, device: null, slot: null, index: 0, key: new Uint8Array(16), sentAt: null });
  box.setMembers(users.map((user) => ({ user, device: 'D', memberId: 'one', identity: user })));
  assert.equal(given.length, STRANGERS_MAX);
  assert.equal(given.at(-1), '@u999:x', 'the oldest are forgotten');
});

function asker(): { asker: KeyAsker; clock: FakeClock; asked: string[] } {
  const clock = new FakeClock();
  const asked: string[] = [];
  return { asker: new KeyAsker({ clock, ask: ({ user }) => void asked.push(`${clock.now()} ${user}`) }), clock, asked };
}

test('whose frames do not open for a while is asked for the key, more and more seldom', () => {
  const { asker: keys, clock, asked } = asker();
  const alice = member('@alice:x');
  keys.lacking(alice, true);
  keys.lacking(alice, true);
  clock.advance(200_000);
  assert.deepEqual(asked, [2000, 7000, 17_000, 37_000, 77_000].map((at) => `${at} @alice:x`));
});

test('nobody is asked once the frames open, who left, or whom the question would only puzzle', () => {
  const { asker: keys, clock, asked } = asker();
  const [alice, bob] = [member('@alice:x'), member('@bob:x')];
  keys.lacking(alice, true);
  keys.lacking(bob, true);
  keys.lacking(member('@element:x', {}, [{ type: 'livekit', livekit_service_url: 'https://lk' }]), true);
  clock.advance(1000);
  keys.lacking(alice, false);
  keys.setMembers([alice]);
  clock.advance(200_000);
  assert.deepEqual(asked, []);
});

test('the question comes in as it went out', () => {
  const content = keyRequestContent('!room:x', 'm.call#ROOM', { memberId: 'one', toMemberId: 'two' });
  assert.deepEqual(readKeyRequest(KEY_REQUEST_TYPE, content, '!room:x', 'm.call#ROOM'), { memberId: 'one', toMemberId: 'two' });
  assert.equal(readKeyRequest(KEY_REQUEST_TYPE, content, '!other:x', 'm.call#ROOM'), null);
  assert.equal(readKeyRequest(KEY_REQUEST_TYPE, { ...content, to_member_id: 7 }, '!room:x', 'm.call#ROOM'), null);
  assert.equal(readKeyRequest(KEY_TYPE, content, '!room:x', 'm.call#ROOM'), null);
});
