// Headless members (`sfu-bench`, in Rust) on two real homeservers that federate: they call, one of them is kicked, and random requests
// for tokens are held against a model. How good the figures are is for `benches/` to say; here they must be right.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { need } from '../lib/need.mjs';
import { runBench } from '../lib/matrix/bench.mjs';
import { startRig } from '../lib/matrix/rig.mjs';

const skip = need('synapse', 'openssl', 'bench');
const TIMEOUT_MS = 180_000;
/** A kick takes 3 s on a free machine, most of it to be sure of the silence and to join again. */
const KICKS = Number(process.env.MATRIX_KICKS ?? 2);
const KICK_MS = 15_000;

let rig = null;
before(async () => {
  if (!skip) rig = await startRig();
});
after(() => rig?.close());

/** The report of a run that went well. */
async function bench(...args) {
  let complaints = '';
  const { code, output, report } = await runBench(rig, args, (text) => (complaints += text));
  assert.equal(code, 0, `${complaints}\n${output}\n${rig.focus.log.slice(-20).join('\n')}`);
  return report;
}

test('users of two homeservers open everything that they send each other', { skip, timeout: TIMEOUT_MS }, async () => {
  const report = await bench('run', '--participants', '3', '--duration', '5s', '--join-rate', '1');
  assert.equal(report.joined, 3);
  assert.deepEqual([report.frames_without_key, report.frames_unopened, report.foreign_packets], [0, 0, 0]);
  assert.ok(report.frames_opened > 0);
  assert.deepEqual(report.matrix.access, ['application_service']);
  assert.ok(report.matrix.keys_received >= 6, 'each has the keys of the two others');
  assert.ok(report.matrix.member_event_across_ms.max > 0);
});

test('members by sticky events open everything, and the focus looks after their leaves', { skip, timeout: TIMEOUT_MS }, async () => {
  const report = await bench('run', '--participants', '2', '--duration', '5s', '--join-rate', '1', '--delegate-leave', '--member-events', 'sticky');
  assert.deepEqual([report.joined, report.matrix.leaves_lent, report.matrix.member_events], [2, 2, ['sticky']]);
  assert.deepEqual([report.frames_without_key, report.frames_unopened], [0, 0]);
  assert.ok(report.frames_opened > 0 && report.matrix.member_event_across_ms.max > 0);
});

test('who is kicked from the room is silent within two seconds, and stays out', { skip, timeout: TIMEOUT_MS + KICKS * KICK_MS }, async () => {
  const report = await bench('matrix', 'kick', '--participants', KICKS > 9 ? '4' : '2', '--kicks', String(KICKS));
  assert.equal(report.kicks, KICKS);
  assert.deepEqual([report.not_silenced, report.tokens_after, report.stayed_after], [0, 0, 0]);
});

test('nobody gets a token for a room that they are not in', { skip, timeout: TIMEOUT_MS }, async () => {
  const report = await bench('matrix', 'authorise', '--users', '8', '--rooms', '3', '--requests', '80', '--every', '40');
  assert.equal(report.wrong_grants, 0);
  assert.ok(report.granted > 0 && report.refused > 0);
});
