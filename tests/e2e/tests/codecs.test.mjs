// Two people per codec, encrypted. Firefox has no H264 here: its OpenH264 is a download.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from '../lib/chromium.mjs';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { launchFirefox } from '../lib/firefox.mjs';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { startServer } from '../lib/server.mjs';

const noChromium = need('chromium');
const noFirefox = need('chromium', 'firefox');
const PAIRS = [
  { codec: 'vp8', with: 'firefox' },
  { codec: 'vp9', with: 'firefox' },
  { codec: 'av1', with: 'firefox' },
  { codec: 'vp8', with: 'chromium' },
  { codec: 'vp9', with: 'chromium' },
  { codec: 'av1', with: 'chromium' },
  { codec: 'h264', with: 'chromium' },
];

const browsers = {};
let server = null;
before(async () => {
  if (noChromium) return;
  server = await startServer();
  browsers.chromium = await launchChromium();
  if (!noFirefox) browsers.firefox = await launchFirefox();
});
after(async () => {
  for (const browser of Object.values(browsers)) await browser.close();
  await server?.stop();
});

for (const { codec, with: other } of PAIRS) {
  test(`${codec}: Chromium and ${other}`, { skip: other === 'firefox' ? noFirefox : noChromium, timeout: 60_000 }, async (t) => {
    const room = `${codec}-${other}`;
    const secret = newSecret();
    const query = { codec };
    const alice = await join(browsers.chromium, server, { room, name: 'alice', secret, query });
    const bob = await join(browsers[other], server, { room, name: 'bob', secret, query });
    try {
      await allSeeAll([alice, bob]);
      const { worstMs } = await flowing([alice, bob], { ms: 4000 });
      t.diagnostic(`longest standstill: ${worstMs} ms`);
      for (const viewer of [alice, bob]) {
        const camera = (await viewer.media()).find(({ kind }) => kind === 'video');
        assert.equal(camera.codec.toLowerCase(), `video/${codec}`, `what ${viewer.name} receives`);
        assert.deepEqual(viewer.errors, []);
      }
    } finally {
      await alice.close();
      await bob.close();
    }
  });
}
