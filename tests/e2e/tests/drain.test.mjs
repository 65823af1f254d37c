// SIGTERM: people are told, the server ends in time and in order, and the call goes on with the next one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { pause, until } from '../lib/wait.mjs';

const DRAIN_S = 6;

test('the call goes on after the server was replaced', { skip: need('chromium', 'firefox'), timeout: 120_000 }, async (t) => {
  const parts = scene(t);
  const env = { SFU_DRAIN__TIMEOUT: `${DRAIN_S}s` };
  const [first, chrome, fox] = await Promise.all([parts.server({ env }), parts.chromium(), parts.firefox()]);
  const room = 'drain';
  const secret = newSecret();
  const alice = await join(chrome, first, { room, name: 'alice', secret });
  const bob = await join(chrome, first, { room, name: 'bob', secret });
  const fiona = await join(fox, first, { room, name: 'fiona', secret });
  const everybody = [alice, bob, fiona];
  await allSeeAll(everybody);

  const began = Date.now();
  first.signal('SIGTERM');
  await Promise.all(everybody.map((one) => until(`${one.name} is told`, async () => (await one.state()) === 'reconnecting', { deadlineMs: (DRAIN_S + 3) * 1000, describe: () => one.state() })));
  for (const one of [alice, bob]) assert.match(await one.text('#connection'), /Reconnecting/);
  const how = await Promise.race([first.exited, pause((DRAIN_S + 5) * 1000)]);
  assert.deepEqual(how && { code: how.code, signal: how.signal }, { code: 0, signal: null }, first.log.slice(-10).join('\n'));
  t.diagnostic(`the server ended after ${Date.now() - began} ms`);

  const restarted = Date.now();
  const second = await parts.server({ port: first.port, env });
  await Promise.all(everybody.map((one) => until(`${one.name} is back`, async () => (await one.state()) === 'joined', { deadlineMs: 40_000, describe: async () => `${await one.state()} ${one.console.slice(-5).join(' | ')}` })));
  t.diagnostic(`all were back ${Date.now() - restarted} ms after the restart`);
  // Those that had asked the first server for a token just before it ended had to ask again.
  t.diagnostic(`tokens of the first server that the second refused: ${everybody.flatMap((one) => one.console).filter((line) => /M_UNAUTHORIZED/.test(line)).length}`);
  await allSeeAll(everybody);
  await flowing(everybody, { ms: 3000 });
  assert.equal((await second.metrics()).sum('sfu_participants'), 3);
});
