import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReplayWindow } from '../../src/e2ee/replay.ts';

test('a counter is taken once, in any order', () => {
  const window = new ReplayWindow(64);
  for (const ctr of [5n, 3n, 0n, 60n, 59n, 4n]) {
    assert.ok(window.fresh(ctr), `${ctr}`);
    window.mark(ctr);
    assert.ok(!window.fresh(ctr), `${ctr} again`);
  }
  assert.ok(window.fresh(1n), 'older than the newest is no reason to refuse');
});

test('what fell out of the window is refused', () => {
  const window = new ReplayWindow(64);
  window.mark(100n);
  assert.ok(window.fresh(37n));
  assert.ok(!window.fresh(36n));
});

test('a jump beyond the window forgets nothing wrong and remembers nothing old', () => {
  const window = new ReplayWindow(64);
  for (let ctr = 0n; ctr < 64n; ctr++) window.mark(ctr);
  window.mark(1000n);
  for (let ctr = 937n; ctr < 1000n; ctr++) assert.ok(window.fresh(ctr), `${ctr}`);
  assert.ok(!window.fresh(1000n));
  assert.ok(!window.fresh(63n));
});

test('agrees with a plain set under random order', () => {
  const window = new ReplayWindow(256);
  const seen = new Set<bigint>();
  let newest = -1n;
  let state = 7;
  for (let i = 0; i < 20_000; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const ctr = BigInt(Math.max(0, Math.floor(i / 3) + ((state >>> 16) % 400) - 350));
    const expected = !seen.has(ctr) && ctr > newest - 256n;
    assert.equal(window.fresh(ctr), expected, `${ctr} at ${i}`);
    if (!expected) continue;
    window.mark(ctr);
    seen.add(ctr);
    if (ctr > newest) newest = ctr;
  }
});
