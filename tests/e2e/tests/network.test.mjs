// The client's address changes under a running call, as when a laptop goes from cable to wireless.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { IP, need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { until } from '../lib/wait.mjs';

const OLD = '127.7.0.1';
const NEW = '127.7.0.2';
const ip = (...words) => execFileSync(IP, words);

test('media goes on after the address of the client changed', { skip: need('chromium'), timeout: 120_000 }, async (t) => {
  const parts = scene(t);
  // The focus stays where it is: on loopback, which does not change.
  const [server, chrome] = await Promise.all([parts.server({ mediaHost: '127.0.0.1' }), parts.chromium()]);
  const room = 'network';
  const secret = newSecret();
  const alice = await join(chrome, server, { room, name: 'alice', secret });
  const bob = await join(chrome, server, { room, name: 'bob', secret });
  await allSeeAll([alice, bob]);
  t.diagnostic(`before: ${JSON.stringify(await alice.path())}`);
  assert.equal((await alice.path()).local.address, OLD);

  parts.keep(null, async () => {
    ip('addr', 'replace', `${OLD}/32`, 'dev', 'd0', 'scope', 'global');
    ip('route', 'replace', 'default', 'dev', 'd0', 'src', OLD);
    ip('addr', 'del', `${NEW}/32`, 'dev', 'd0');
  });
  const began = Date.now();
  ip('addr', 'add', `${NEW}/32`, 'dev', 'd0', 'scope', 'global');
  ip('route', 'replace', 'default', 'dev', 'd0', 'src', NEW);
  ip('addr', 'del', `${OLD}/32`, 'dev', 'd0');

  for (const one of [alice, bob]) {
    await until(`${one.name} is connected from the new address`, async () => {
      const path = await one.path();
      return path?.local.address === NEW && (await one.state()) === 'joined';
    }, { deadlineMs: 45_000, describe: async () => JSON.stringify([await one.path(), await one.state(), one.console.slice(-5)]) });
  }
  t.diagnostic(`back after ${Date.now() - began} ms`);
  await allSeeAll([alice, bob]);
  const { worstMs } = await flowing([alice, bob], { ms: 4000 });
  t.diagnostic(`longest standstill afterwards: ${worstMs} ms`);
  assert.equal((await server.metrics()).sum('sfu_joins_total'), 2, 'nobody had to join afresh');
});
