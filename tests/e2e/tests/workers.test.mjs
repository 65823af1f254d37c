// One conference on two workers: nobody can tell, and nothing is lost on the way between them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';

test('two workers serve one conference', { skip: need('chromium'), timeout: 90_000 }, async (t) => {
  const parts = scene(t);
  const [server, chrome] = await Promise.all([parts.server({ env: { SFU_MEDIA__WORKERS: '2', SFU_MEDIA__SPREAD_AT: '1' } }), parts.chromium()]);
  const room = 'workers';
  const secret = newSecret();
  const everybody = [];
  for (const name of ['alice', 'bob', 'carol']) everybody.push(await join(chrome, server, { room, name, secret }));
  await allSeeAll(everybody);
  const { worstMs } = await flowing(everybody, { ms: 6000 });
  t.diagnostic(`longest standstill: ${worstMs} ms`);

  const metrics = await server.metrics();
  assert.ok(metrics.sum('sfu_relays_total', { event: 'sent' }) > 100, 'media went from one worker to the other');
  assert.ok(metrics.sum('sfu_relays_total', { event: 'received' }) > 100, 'and arrived there');
  assert.equal(metrics.sum('sfu_ring_dropped_total'), 0);
  assert.equal(metrics.sum('sfu_panics_total'), 0);
  t.diagnostic(metrics.samples.filter(({ name }) => /relays|misrouted|dropped/.test(name)).map(({ name, labels, value }) => `${name}${JSON.stringify(labels)}=${value}`).join(' '));
});
