// The shortest proof that a call works: two Chromium pages and a Firefox, encrypted, and one who has the wrong secret.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allSeeAll, flowing, sees } from '../lib/expect.mjs';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { until } from '../lib/wait.mjs';

test('two Chromium and one Firefox see and hear each other; a wrong secret opens nothing', { skip: need('chromium', 'firefox'), timeout: 85_000 }, async (t) => {
  const { server: startServer, chromium, firefox } = scene(t);
  const [server, chrome, fox] = await Promise.all([startServer(), chromium(), firefox()]);
  const room = 'smoke';
  const secret = newSecret();

  const alice = await join(chrome, server, { room, name: 'alice', secret });
  const bob = await join(chrome, server, { room, name: 'bob', secret });
  const fiona = await join(fox, server, { room, name: 'fiona', secret });
  const everybody = [alice, bob, fiona];
  await allSeeAll(everybody);
  const { worstMs } = await flowing(everybody, { ms: 5000 });
  t.diagnostic(`longest standstill: ${worstMs} ms`);

  const mallory = await join(chrome, server, { room, name: 'mallory', secret: newSecret() });
  await until('mallory is told that nothing can be opened', async () => {
    const media = await mallory.media();
    return media.length === 6 && media.every(({ encryption }) => encryption === 'failed' || encryption === 'missing-key');
  }, { describe: () => mallory.media() });
  assert.match(await mallory.text('#encryption-text'), /Cannot decrypt|Key missing/);
  for (const { decoded, samples, concealed, kind } of await mallory.media()) {
    assert.equal(kind === 'video' ? decoded : samples - concealed, 0, `mallory got a ${kind} frame`);
  }
  await until('alice is told that mallory cannot be opened', async () => {
    const media = await alice.media();
    return media.some(({ participant, encryption }) => participant === 'mallory' && encryption === 'failed');
  }, { describe: () => alice.media() });
  await sees(alice, [bob, fiona], { alone: false });
  await sees(fiona, [alice, bob], { alone: false });
  assert.deepEqual(everybody.flatMap(({ errors }) => errors), []);
});
