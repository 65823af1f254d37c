import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sealFrame } from '../../src/e2ee/frame.ts';
import { MemberKeys, OwnMemberKeys } from '../../src/e2ee/member-keys.ts';
import { MemberKeysClient } from '../../src/e2ee/member-client.ts';
import type { EncryptionState, FromWorker, ToWorker } from '../../src/e2ee/messages.ts';
import { SlotOpener } from '../../src/e2ee/opener.ts';
import { seal, type Bytes } from '../../src/e2ee/sframe.ts';

const FRAME: Bytes = new Uint8Array([0xfc, 1, 2, 3, 4, 5, 6, 7]);

function key(fill: number, length = 16): Bytes {
  return new Uint8Array(length).fill(fill);
}

async function sealed(keys: OwnMemberKeys): Promise<Bytes> {
  const taken = keys.take();
  assert.ok(taken);
  return sealFrame('opus', FRAME, (metadata, plaintext) => seal(taken.key, taken.ctr, metadata, plaintext));
}

function slotOf(owner: string): { slot: SlotOpener; states: EncryptionState[] } {
  const states: EncryptionState[] = [];
  const slot = new SlotOpener((_, state) => void states.push(state));
  slot.expect({ owner, track: 't', encrypted: true });
  return { slot, states };
}

async function own(index: number, bytes: Bytes): Promise<OwnMemberKeys> {
  const keys = new OwnMemberKeys();
  keys.prepare(index, bytes);
  await keys.use(index);
  return keys;
}

test('a frame opens under the key of its owner and no other', async () => {
  const keys = await own(3, key(7));
  const others = new MemberKeys();
  others.set('alice', 3, key(7));
  others.set('bob', 3, key(8));
  assert.deepEqual(await slotOf('alice').slot.handle(await sealed(keys), 'opus', others, 0), FRAME);
  assert.equal(await slotOf('bob').slot.handle(await sealed(keys), 'opus', others, 0), null);
  assert.equal(await slotOf('').slot.handle(await sealed(keys), 'opus', others, 0), null, 'an unknown participant opens nothing');
});

test('32 bytes serve as well, other lengths and indexes are refused', async () => {
  const keys = await own(255, key(7, 32));
  const others = new MemberKeys();
  others.set('alice', 255, key(7, 32));
  assert.ok(await slotOf('alice').slot.handle(await sealed(keys), 'opus', others, 0));
  for (const [index, bytes] of [[256, key(1)], [-1, key(1)], [0, key(1, 15)], [0.5, key(1)]] as const) {
    assert.throws(() => new OwnMemberKeys().prepare(index, bytes), RangeError);
    others.set('bob', index, bytes);
    assert.equal(await others.find('bob', BigInt(Math.max(0, Math.floor(index)))), null);
  }
});

test('a key that was used never counts from 0 again', async () => {
  const keys = await own(0, key(7));
  keys.take();
  assert.throws(() => keys.prepare(0, key(7)), RangeError);
  await assert.rejects(keys.use(0), RangeError);
  assert.equal(keys.take()?.ctr, 1n);
});

test('an index comes round with another key, as it does after a new join', async () => {
  const keys = await own(0, key(7));
  const others = new MemberKeys();
  others.set('alice', 0, key(7));
  const { slot } = slotOf('alice');
  assert.ok(await slot.handle(await sealed(keys), 'opus', others, 0));
  others.set('alice', 0, key(9));
  assert.equal(await slot.handle(await sealed(keys), 'opus', others, 0), null, 'the old one is gone');
  assert.ok(await slot.handle(await sealed(await own(0, key(9))), 'opus', others, 0));
});

test('frames recorded before a member left do not play when it is back', async () => {
  const keys = await own(0, key(7));
  const others = new MemberKeys();
  others.set('alice', 0, key(7));
  const frame = await sealed(keys);
  const { slot } = slotOf('alice');
  assert.ok(await slot.handle(frame, 'opus', others, 0));
  others.remove('alice');
  assert.equal(await slot.handle(await sealed(keys), 'opus', others, 0), null);
  others.set('alice', 0, key(7));
  assert.equal(await slot.handle(frame, 'opus', others, 0), null);
  assert.ok(await slot.handle(await sealed(keys), 'opus', others, 0));
});

test('connections share the worker and hear of their own slots only', () => {
  const posted: ToWorker[] = [];
  const worker = { onmessage: null as ((event: { data: FromWorker }) => void) | null, postMessage: (message: ToWorker) => void posted.push(message), terminate: () => undefined };
  const client = new MemberKeysClient(worker as unknown as Worker);
  const [one, two] = [client.connection(), client.connection()];
  const heard: string[] = [];
  one.on('state', ({ slot }) => void heard.push(`one ${slot}`));
  two.on('state', ({ slot }) => void heard.push(`two ${slot}`));
  one.expect('audio-0', { owner: 'alice', track: 't', encrypted: true });
  two.expect('audio-0', { owner: 'bob', track: 't', encrypted: true });
  const slots = posted.flatMap((message) => (message.type === 'expect' ? [message.slot] : []));
  assert.equal(new Set(slots).size, 2);
  for (const slot of slots) worker.onmessage?.({ data: { type: 'state', slot, track: 't', state: 'ok' } });
  assert.deepEqual(heard, ['one audio-0', 'two audio-0']);
  one.close();
  assert.deepEqual(posted.at(-1), { type: 'expect', slot: slots[0], expectation: null });
  worker.onmessage?.({ data: { type: 'state', slot: slots[0] ?? '', track: 't', state: 'ok' } });
  assert.equal(heard.length, 2);
});

test('a key that came late: it is said again that the slot is fine, so that a key frame is asked for', async () => {
  const others = new MemberKeys();
  others.set('alice', 0, key(7));
  const { slot, states } = slotOf('alice');
  assert.ok(await slot.handle(await sealed(await own(0, key(7))), 'opus', others, 0));
  const next = await own(1, key(8));
  assert.equal(await slot.handle(await sealed(next), 'opus', others, 20), null, 'too short for an alarm');
  others.set('alice', 1, key(8));
  assert.ok(await slot.handle(await sealed(next), 'opus', others, 40));
  assert.ok(await slot.handle(await sealed(next), 'opus', others, 60));
  assert.deepEqual(states, ['ok', 'ok']);
});
