import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ToDevice } from '../../src/matrix/homeserver.ts';
import { hash, participantIdentity } from '../../src/matrix/identity.ts';
import { KeyBox } from '../../src/matrix/key-box.ts';
import { KEY_TYPE, keyContent, readKey } from '../../src/matrix/key-message.ts';
import { COALESCE_MS, GRACE_MS, KeyRing, USE_DELAY_MS } from '../../src/matrix/key-ring.ts';
import type { Membership } from '../../src/matrix/membership.ts';
import { FakeClock } from './helpers.ts';
import { member } from './matrix-helpers.ts';

const [alice, bob, carol] = [member('@alice:x'), member('@bob:x'), member('@carol:x')];

function ring(): { ring: KeyRing; clock: FakeClock; log: string[]; holders: (index: number) => string[]; used: { index: number; at: number }[] } {
  const clock = new FakeClock();
  const log: string[] = [];
  const given = new Map<number, Set<string>>();
  const used: { index: number; at: number }[] = [];
  const made = new KeyRing({
    clock,
    prepare: () => undefined,
    use: (index) => void (used.push({ index, at: clock.now() }), log.push(`use ${index}`)),
    send: ({ index }, to) => {
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

test('many who come at the beginning share the first key; one who comes later gets a new one before it is used', () => {
  const { ring: keys, clock, log } = ring();
  keys.setMembers([alice]);
  keys.setMembers([alice, bob]);
  clock.advance(GRACE_MS);
  keys.setMembers([alice, bob, carol]);
  clock.advance(USE_DELAY_MS);
  assert.deepEqual(log, ['use 0', 'send 0 to @alice:x', 'send 0 to @bob:x', 'send 1 to @alice:x,@bob:x,@carol:x', 'use 1']);
});

test('who leaves never holds a key that is used later than the use delay', () => {
  const { ring: keys, clock, log } = ring();
  keys.setMembers([alice, bob]);
  clock.advance(5000);
  keys.setMembers([bob]);
  assert.equal(log.at(-1), 'send 1 to @bob:x');
  clock.advance(USE_DELAY_MS);
  assert.equal(log.at(-1), 'use 1');
});

test('who leaves while a rotation is under way holds the next key, so there is one more at once', () => {
  const { ring: keys, clock, log } = ring();
  keys.setMembers([alice, bob, carol]);
  keys.setMembers([bob, carol]);
  clock.advance(100);
  keys.setMembers([carol]);
  assert.deepEqual(log.slice(-1), ['send 1 to @bob:x,@carol:x']);
  clock.advance(COALESCE_MS - 100);
  assert.equal(log.at(-1), 'send 2 to @carol:x');
  clock.advance(100 + USE_DELAY_MS - COALESCE_MS);
  assert.deepEqual(log.slice(-2), ['use 1', 'use 2']);
});

test('a call that breaks up makes few keys', () => {
  const { ring: keys, clock, log } = ring();
  const many = Array.from({ length: 100 }, (_, i) => member(`@u${i}:x`));
  keys.setMembers(many);
  for (let left = 1; left < 100; left++) {
    keys.setMembers(many.slice(left));
    clock.advance(10);
  }
  clock.advance(USE_DELAY_MS * 2);
  assert.ok(log.filter((line) => line.startsWith('use')).length <= 6, 'one for each quarter of a second');
});

test('somebody who comes during a rotation gets the key that is coming', () => {
  const { ring: keys, clock, log } = ring();
  keys.setMembers([alice, bob]);
  keys.setMembers([bob]);
  keys.setMembers([bob, carol]);
  assert.equal(log.at(-1), 'send 1 to @carol:x');
  clock.advance(10 * USE_DELAY_MS);
  assert.equal(log.filter((line) => line.startsWith('use')).length, 2);
});

test('a member that joined again under the same name gets the key again', () => {
  const { ring: keys, clock, log } = ring();
  keys.setMembers([alice]);
  clock.advance(GRACE_MS);
  keys.setMembers([{ ...alice, createdAt: 5 }]);
  assert.equal(log.at(-1), 'send 1 to @alice:x');
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
    clock.advance(USE_DELAY_MS);
    // A key is in use until the next one is. Whoever left holds none that still is once the use delay is over.
    used.forEach(({ index }, n) => {
      const until = used[n + 1]?.at ?? Infinity;
      for (const holder of holders(index)) assert.ok(until <= (leftAt.get(holder) ?? Infinity) + USE_DELAY_MS, `seed ${seed}: ${holder} can open key ${index}`);
    });
  }
});

function message(sender: string, device: string, index: number, fill: number, sentTs: number, id = `${sender}:${device}`): ToDevice {
  const content = keyContent('!room:x', { id, device }, { index, key: new Uint8Array(16).fill(fill) }, sentTs);
  return { type: KEY_TYPE, sender, device, content };
}

test('key messages: what goes out comes in, and nothing else does', () => {
  const good = message('@alice:x', 'D', 3, 7, 100);
  assert.deepEqual(readKey(good, '!room:x', 0), { user: '@alice:x', device: 'D', memberId: '@alice:x:D', index: 3, key: new Uint8Array(16).fill(7), sentTs: 100 });
  assert.equal(readKey(good, '!other:x', 0), null);
  assert.equal(readKey({ ...good, device: 'E' }, '!room:x', 0), null, 'another device than it claims');
  assert.equal(readKey({ ...good, type: 'm.room.message' }, '!room:x', 0), null);
  assert.equal(readKey({ ...good, content: { ...good.content, keys: { index: 256, key: 'AAAAAAAAAAAAAAAAAAAAAA' } } }, '!room:x', 0), null);
  assert.equal(readKey({ ...good, content: { ...good.content, keys: { index: 1, key: '!!' } } }, '!room:x', 0), null);
  const standard = { type: 'm.rtc.encryption_key', sender: '@alice:x', device: 'D', content: { room_id: '!room:x', member_id: 'one', media_key: { index: 1, key: Buffer.alloc(32, 9).toString('base64') } } };
  assert.equal(readKey(standard, '!room:x', 5)?.key.length, 32);
});

function box(): { box: KeyBox; log: string[] } {
  const log: string[] = [];
  const made = new KeyBox({ set: (identity, index, key) => void log.push(`set ${identity.slice(0, 4)} ${index} ${key[0]}`), remove: (identity) => void log.push(`remove ${identity.slice(0, 4)}`) });
  return { box: made, log };
}

function add(to: KeyBox, ...message_: Parameters<typeof message>): void {
  const key = readKey(message(...message_), '!room:x', 0);
  assert.ok(key);
  to.add(key);
}

test('a key waits for its member, and a member of another device gets none', async () => {
  const { box: keys, log } = box();
  const id = (await participantIdentity('@alice:x', '@alice:x:D')).slice(0, 4);
  add(keys, '@alice:x', 'D', 0, 7, 1);
  add(keys, '@alice:x', 'EVIL', 0, 9, 2, '@alice:x:D');
  assert.deepEqual(log, []);
  await keys.setMembers([alice]);
  assert.deepEqual(log, [`set ${id} 0 7`]);
  add(keys, '@alice:x', 'EVIL', 0, 9, 3, '@alice:x:D');
  assert.equal(log.length, 1);
});

test('an older key never replaces a newer one of its index', async () => {
  const { box: keys, log } = box();
  await keys.setMembers([alice]);
  add(keys, '@alice:x', 'D', 0, 2, 200);
  add(keys, '@alice:x', 'D', 0, 1, 100);
  assert.equal(log.length, 1);
  assert.ok(log[0]?.endsWith('0 2'));
});

test('who left is forgotten by the worker, and back under the same key if only the event was lost', async () => {
  const { box: keys, log } = box();
  await keys.setMembers([alice]);
  add(keys, '@alice:x', 'D', 0, 2, 200);
  await keys.setMembers([]);
  assert.ok(log.at(-1)?.startsWith('remove'));
  await keys.setMembers([alice]);
  assert.ok(log.at(-1)?.endsWith('0 2'));
});

test('keys for members that never come are bounded', async () => {
  const { box: keys, log } = box();
  for (let i = 0; i < 1000; i++) add(keys, `@u${i}:x`, 'D', 0, 1, i);
  await keys.setMembers(Array.from({ length: 1000 }, (_, i) => member(`@u${i}:x`)));
  assert.equal(log.length, 256);
});
