import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeSalt, newSalt, OwnKeys, PeerKeys } from '../../src/e2ee/keys.ts';
import { utf8 } from '../../src/e2ee/sframe.ts';
import { SlotOpener } from '../../src/e2ee/opener.ts';
import { sealFrame } from '../../src/e2ee/frame.ts';
import { seal, type Bytes } from '../../src/e2ee/sframe.ts';
import type { EncryptionState } from '../../src/e2ee/messages.ts';
import { toHex } from './helpers.ts';

const SECRET = utf8('the secret of this call');
const FRAME = Uint8Array.of(0x78, 1, 2, 3, 4, 5);

async function sealOpus(keys: OwnKeys, frame: Bytes = FRAME): Promise<Bytes> {
  return sealFrame('opus', frame, (metadata, plaintext) => {
    const taken = keys.take();
    assert.ok(taken);
    return seal(taken.key, taken.ctr, metadata, plaintext);
  });
}

async function sender(ratchetBits = 0): Promise<{ keys: OwnKeys; salt: string }> {
  const keys = new OwnKeys(SECRET, ratchetBits);
  const salt = newSalt();
  await keys.prepare(0, salt);
  await keys.use(0);
  return { keys, salt };
}

function receiver(participant = 'p-a'): { slot: SlotOpener; states: EncryptionState[] } {
  const states: EncryptionState[] = [];
  const slot = new SlotOpener((_track, state) => states.push(state));
  slot.expect({ owner: participant, track: 't-1', encrypted: true });
  return { slot, states };
}

test('salts: 16 bytes, base64url without padding, never twice', () => {
  const salts = new Set(Array.from({ length: 100 }, newSalt));
  assert.equal(salts.size, 100);
  for (const salt of salts) {
    assert.match(salt, /^[\w-]{22}$/);
    assert.equal(decodeSalt(salt).length, 16);
  }
  assert.throws(() => decodeSalt('AAAA'));
});

test('a frame opens with the announced key, once', async () => {
  const { keys, salt } = await sender();
  const peers = new PeerKeys(SECRET);
  peers.set('p-a', [{ index: 0, salt }]);
  const { slot, states } = receiver();
  const sealed = await sealOpus(keys);
  assert.equal(toHex((await slot.handle(sealed, 'opus', peers, 0)) ?? new Uint8Array()), toHex(FRAME));
  assert.equal(await slot.handle(sealed, 'opus', peers, 1), null, 'replayed');
  assert.deepEqual(states, ['ok'], 'a replay is no failure of the key');
});

test('two copies of one frame at the same moment: one is played', async () => {
  const { keys, salt } = await sender();
  const peers = new PeerKeys(SECRET);
  peers.set('p-a', [{ index: 0, salt }]);
  const { slot } = receiver();
  const sealed = await sealOpus(keys);
  const both = await Promise.all([slot.handle(sealed, 'opus', peers, 0), slot.handle(sealed, 'opus', peers, 0)]);
  assert.equal(both.filter((frame) => frame !== null).length, 1);
});

test('no key and counter is used twice, and rotation starts again from 0 under another key', async () => {
  const { keys } = await sender();
  const used = new Set<string>();
  for (let round = 1; round <= 3; round++) {
    for (let i = 0; i < 50; i++) {
      const taken = keys.take();
      assert.ok(taken);
      used.add(`${toHex(taken.key.salt)} ${taken.ctr}`);
    }
    await keys.prepare(round, newSalt());
    await keys.use(round);
  }
  assert.equal(used.size, 150);
  await assert.rejects(keys.prepare(3, newSalt()), 'an index is not used again');
});

test('rotation: frames of the old and the new key open while both are announced', async () => {
  const { keys, salt } = await sender();
  const next = newSalt();
  const peers = new PeerKeys(SECRET);
  peers.set('p-a', [{ index: 0, salt }, { index: 1, salt: next }]);
  const { slot } = receiver();
  const before = await sealOpus(keys);
  await keys.prepare(1, next);
  const prepared = await sealOpus(keys);
  await keys.use(1);
  const after = await sealOpus(keys);
  for (const sealed of [after, before, prepared]) assert.ok(await slot.handle(sealed, 'opus', peers, 0));
  peers.set('p-a', [{ index: 1, salt: next }]);
  assert.equal(await slot.handle(before, 'opus', peers, 0), null, 'a dropped key opens nothing');
});

test('a dropped key cannot be brought back, nor shown as somebody else’s', async () => {
  const { keys, salt } = await sender();
  const peers = new PeerKeys(SECRET);
  peers.set('p-a', [{ index: 0, salt }]);
  peers.remove('p-a');
  peers.set('p-a', [{ index: 0, salt }]);
  peers.set('p-b', [{ index: 0, salt }]);
  assert.equal(await receiver('p-a').slot.handle(await sealOpus(keys), 'opus', peers, 0), null);
  assert.equal(await receiver('p-b').slot.handle(await sealOpus(keys), 'opus', peers, 0), null);
});

test('states: wrong secret fails, unknown key is missing, and both only after some patience', async () => {
  const { keys, salt } = await sender();
  for (const [secret, announced, expected] of [
    [utf8('another secret'), [{ index: 0, salt }], 'failed'],
    [SECRET, [], 'missing-key'],
  ] as const) {
    const peers = new PeerKeys(secret);
    peers.set('p-a', announced);
    const { slot, states } = receiver();
    for (let i = 0; i < 50; i++) {
      assert.equal(await slot.handle(await sealOpus(keys), 'opus', peers, i * 20), null);
      if (i * 20 < 300) assert.deepEqual(states, [], 'one late frame is no reason for alarm');
    }
    assert.deepEqual(states, [expected]);
  }
  const { slot, states } = receiver();
  for (let i = 0; i < 50; i++) assert.equal(await slot.handle(await sealOpus(keys), 'opus', null, i * 20), null);
  assert.deepEqual(states, ['missing-key'], 'without a secret');
});

test('an unencrypted frame is never played on an encrypted track, and an unencrypted track is said to be off', async () => {
  const { salt } = await sender();
  const peers = new PeerKeys(SECRET);
  peers.set('p-a', [{ index: 0, salt }]);
  const { slot, states } = receiver();
  for (let i = 0; i < 50; i++) assert.equal(await slot.handle(FRAME, 'opus', peers, i * 20), null);
  assert.equal(states.includes('ok'), false);
  slot.expect({ owner: 'p-a', track: 't-1', encrypted: false });
  assert.equal(await slot.handle(FRAME, 'opus', peers, 0), FRAME);
  assert.equal(states.at(-1), 'off');
  slot.expect(null);
  assert.equal(await slot.handle(FRAME, 'opus', peers, 0), null, 'a free slot plays nothing');
});

test('a slot that is given to another sender looks keys up for that one', async () => {
  const a = await sender();
  const b = await sender();
  const peers = new PeerKeys(SECRET);
  peers.set('p-a', [{ index: 0, salt: a.salt }]);
  peers.set('p-b', [{ index: 0, salt: b.salt }]);
  const { slot } = receiver('p-a');
  assert.ok(await slot.handle(await sealOpus(a.keys), 'opus', peers, 0));
  slot.expect({ owner: 'p-b', track: 't-2', encrypted: true });
  assert.equal(await slot.handle(await sealOpus(a.keys), 'opus', peers, 0), null);
  assert.ok(await slot.handle(await sealOpus(b.keys), 'opus', peers, 0));
});

test('ratchet: receivers follow by the low bits, reordered frames of recent steps still open', async () => {
  const { keys, salt } = await sender(3);
  const peers = new PeerKeys(SECRET, 3);
  peers.set('p-a', [{ index: 0, salt }]);
  const { slot } = receiver();
  const late: Bytes[] = [];
  for (let step = 0; step < 40; step++) {
    late.push(await sealOpus(keys));
    assert.ok(await slot.handle(await sealOpus(keys), 'opus', peers, 0), `step ${step}`);
    const before = late[step - 2];
    if (before) assert.ok(await slot.handle(before, 'opus', peers, 0), `late by two at ${step}`);
    await keys.ratchet();
  }
  assert.equal(await slot.handle(late[5] ?? FRAME, 'opus', peers, 0), null, 'old steps are forgotten');
});

test('ratchet: a forged frame does not move the receiver', async () => {
  const { keys, salt } = await sender(3);
  const ahead = await sender(3);
  const peers = new PeerKeys(SECRET, 3);
  peers.set('p-a', [{ index: 0, salt }]);
  const { slot } = receiver();
  for (let i = 0; i < 4; i++) await ahead.keys.ratchet();
  assert.equal(await slot.handle(await sealOpus(ahead.keys), 'opus', peers, 0), null);
  assert.ok(await slot.handle(await sealOpus(keys), 'opus', peers, 0));
});

test('ratchet: not without being set up', async () => {
  const { keys } = await sender();
  await assert.rejects(keys.ratchet());
});
