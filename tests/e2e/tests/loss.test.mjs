// Five of a hundred packets are lost between every page and the server, in both directions: they come again, and nobody's
// picture or sound stands still.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { link, lose } from '../lib/link.mjs';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { until } from '../lib/wait.mjs';

const LOST_PERCENT = 5;

test('five per cent of packets are lost', { skip: need('chromium', 'firefox', 'tc', 'nft'), timeout: 150_000 }, async (t) => {
  const parts = scene(t);
  const [server, chrome, fox] = await Promise.all([parts.server(), parts.chromium(), parts.firefox()]);
  const room = 'loss';
  const secret = newSecret();
  const query = { video: '640x360@15' };
  const alice = await join(chrome, server, { room, name: 'alice', secret, query });
  const bob = await join(chrome, server, { room, name: 'bob', secret, query });
  const fiona = await join(fox, server, { room, name: 'fiona', secret, query });
  const everybody = [alice, bob, fiona];
  await allSeeAll(everybody);

  link(t, await Promise.all(everybody.map(async (one) => (await one.path()).local.port)));
  lose(t, server, LOST_PERCENT);
  const { worstMs } = await flowing(everybody, { ms: 20_000 });
  t.diagnostic(`longest standstill: ${worstMs} ms`);

  const figures = async (viewer) =>
    (await viewer.media()).map(({ participant, kind, packets, lost, nacks, again, plis, samples, concealed }) => ({ from: participant, kind, packets, lost, nacks, again, plis, ...(kind === 'audio' ? { samples, concealed } : {}) }));
  for (const viewer of everybody) for (const line of await figures(viewer)) t.diagnostic(`${viewer.name}: ${JSON.stringify(line)}`);
  const asked = (line, field) => line[field] > 0;
  for (const viewer of everybody) {
    await until(`${viewer.name} asked for video and got it again`, async () => (await figures(viewer)).filter(({ kind }) => kind === 'video').every((line) => asked(line, 'nacks') && (viewer === fiona || asked(line, 'again'))), {
      describe: () => figures(viewer),
    });
  }
  // Firefox does not ask for lost sound.
  for (const viewer of [alice, bob]) {
    await until(`${viewer.name} asked for sound`, async () => (await figures(viewer)).filter(({ kind }) => kind === 'audio').every((line) => asked(line, 'nacks')), { describe: () => figures(viewer) });
  }
  const metrics = await server.metrics();
  const count = (name) => metrics.sum(name);
  t.diagnostic(metrics.samples.filter(({ name, value }) => value > 0 && /nack|retrans|recovered|dropped|keyframe|padding|malformed/.test(name)).map(({ name, labels, value }) => `${name} ${Object.values(labels)} ${value}`).join('; '));
  assert.ok(count('sfu_packets_retransmitted_total') > 0, 'the server sent again');
  assert.ok(count('sfu_packets_recovered_total') > 0, 'publishers sent again');
  assert.equal(count('sfu_rtcp_malformed_total'), 0);
  assert.deepEqual(everybody.flatMap(({ errors }) => errors), []);
});
