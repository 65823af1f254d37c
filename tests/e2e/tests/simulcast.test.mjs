// 720p in three layers: who shows it large gets the large layer, who shows it small does not pay for more.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sees } from '../lib/expect.mjs';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { until } from '../lib/wait.mjs';

const LARGE = { width: 1800, height: 1100 };
const SMALL = { width: 420, height: 420 };
/** A sender's bandwidth estimate starts low and takes its time. */
const RAMP_MS = 60_000;

for (const publisher of ['chromium', 'firefox']) {
  test(`720p simulcast from ${publisher}`, { skip: need('chromium', publisher), timeout: 150_000 }, async (t) => {
    const parts = scene(t);
    const [server, chrome] = await Promise.all([parts.server(), parts.chromium()]);
    const sender = publisher === 'firefox' ? await parts.firefox() : chrome;
    const room = `simulcast-${publisher}`;
    const secret = newSecret();
    const alice = await join(sender, server, { room, name: 'alice', secret, query: { video: '1280x720@15', simulcast: '1' }, viewport: { width: 640, height: 480 } });
    const bob = await join(chrome, server, { room, name: 'bob', secret, viewport: LARGE });
    await sees(bob, [alice]);

    const picture = async () => (await bob.media()).find(({ kind }) => kind === 'video');
    const height = (what, fits) =>
      until(
        `bob gets ${what}`,
        async () => {
          const { height, decoded } = await picture();
          return fits(height) && { height, decoded };
        },
        { deadlineMs: RAMP_MS, describe: async () => JSON.stringify({ picture: await picture(), sent: await alice.sent() }) },
      );
    const goesOn = async ({ decoded }) => until('more frames of it', async () => (await picture()).decoded > decoded + 15, { describe: picture });

    const began = Date.now();
    await goesOn(await height('the top layer', (h) => h === 720));
    t.diagnostic(`top layer after ${Date.now() - began} ms`);

    const shrunk = Date.now();
    await bob.resize(SMALL.width, SMALL.height);
    const small = await height('a smaller layer', (h) => h < 720);
    t.diagnostic(`${small.height} lines after ${Date.now() - shrunk} ms`);
    await goesOn(small);

    const grown = Date.now();
    await bob.resize(LARGE.width, LARGE.height);
    await goesOn(await height('the top layer again', (h) => h === 720));
    t.diagnostic(`top layer again after ${Date.now() - grown} ms`);

    assert.equal((await picture()).encryption, 'ok');
    assert.ok((await server.metrics()).sum('sfu_layer_switches_total') >= 2);
    assert.deepEqual([...alice.errors, ...bob.errors], []);
  });
}
