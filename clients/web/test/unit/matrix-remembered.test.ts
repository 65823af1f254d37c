import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRESH_MS, Memory, type Remembered } from '../../src/matrix/remembered.ts';

const CALL: Remembered = { homeserver: 'https://h', user: '@a:h', device: 'D', token: 't', room: '!r:h', mesh: true, delegate: false, format: 'sticky', profile: 'pure', microphone: true, camera: false, delayId: null };

function setUp(): { memory: () => Memory; time: { now: number }; stored: Map<string, string> } {
  const stored = new Map<string, string>();
  const store = { getItem: (key: string) => stored.get(key) ?? null, setItem: (key: string, value: string) => void stored.set(key, value), removeItem: (key: string) => void stored.delete(key) };
  const time = { now: 1000 };
  return { memory: () => new Memory(store, () => time.now), time, stored };
}

test('the page that follows soon gets what the one before kept, once', () => {
  const { memory, time } = setUp();
  const page = memory();
  page.keep(CALL);
  time.now += 10 * FRESH_MS;
  page.update({ camera: true, delayId: 'later' });
  time.now += FRESH_MS;
  assert.deepEqual(memory().take(), { ...CALL, camera: true, delayId: 'later' });
  assert.equal(memory().take(), null, 'a page that fails with it is not asked to fail again');
});

test('what is old, forgotten or damaged is nothing', () => {
  const { memory, time, stored } = setUp();
  const page = memory();
  page.keep(CALL);
  time.now += FRESH_MS + 1;
  assert.equal(memory().take(), null);
  assert.equal(stored.size, 0, 'it does not stay behind');
  page.keep(CALL);
  page.forget();
  page.update({ camera: true });
  assert.equal(memory().take(), null, 'nothing is kept after the leave');
  for (const text of ['', '{', '7', '{"at":61001}', JSON.stringify({ at: time.now, remembered: { ...CALL, token: 7 } })]) {
    stored.set('rust-sfu.matrix', text);
    assert.equal(memory().take(), null, text);
  }
});
