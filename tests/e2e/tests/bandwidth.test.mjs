// A slow link to one of those in the call: that one gets a smaller picture, then none and is told so, always sound; and all of
// it comes back. Nobody else notices.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { busyCamera } from '../lib/busy-camera.mjs';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { link } from '../lib/link.mjs';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { until } from '../lib/wait.mjs';

/** Room for the layer of 360 lines (600 kbit/s) and sound, not for that of 720 (1.7 Mbit/s). */
const SLOW = 1_000_000;
/** Room for sound, not for the least of the layers (200 kbit/s). */
const TOO_SLOW = 150_000;
/** How long it may take until the picture fits the link. */
const FITS_MS = 20_000;
/** What was tried in vain is tried again after 20 s at most. */
const BACK_MS = 45_000;
const LARGE = { width: 1800, height: 1100 };
const PAUSED = 'Video is paused: your connection is slow';

for (const viewer of ['chromium', 'firefox']) {
  test(`a slow link to ${viewer}`, { skip: need('chromium', viewer, 'tc'), timeout: 240_000 }, async (t) => {
    const parts = scene(t);
    const [server, chrome] = await Promise.all([parts.server(), parts.chromium()]);
    const room = `bandwidth-${viewer}`;
    const secret = newSecret();
    const alice = await join(chrome, server, { room, name: 'alice', secret, query: { video: '1280x720@15', simulcast: '1' }, viewport: { width: 640, height: 480 }, init: busyCamera });
    const bob = await join(viewer === 'firefox' ? await parts.firefox() : chrome, server, { room, name: 'bob', secret, viewport: LARGE });
    await allSeeAll([alice, bob]);
    const { port } = (await bob.path()).local;
    const path = link(t, [port]);

    const picture = async () => (await bob.media()).find(({ kind }) => kind === 'video');
    const note = () => bob.text('.tile.person:not(.self) .note');
    const describe = async () => JSON.stringify({ picture: await picture(), note: await note(), sent: await alice.sent() });
    const sees = async (what, fits, deadlineMs) => {
      const began = Date.now();
      const { decoded } = await until(`bob gets ${what}`, async () => {
        const now = await picture();
        return fits(now.height) && now;
      }, { deadlineMs, describe });
      t.diagnostic(`${what} after ${Date.now() - began} ms`);
      await until('more frames of it', async () => (await picture()).decoded > decoded + 15, { describe });
    };
    const sounds = { sources: ['microphone/audio'] };

    await sees('720 lines', (height) => height === 720, BACK_MS);
    await flowing([alice, bob], {
      ...sounds,
      during: async () => {
        path.limit(port, SLOW);
        await sees('a smaller picture', (height) => height < 720, FITS_MS);
        // A probe may raise the layer once too far, and pause the picture for a moment (docs/bandwidth.md); sound goes on.
        await flowing([alice, bob], { ms: 5000, ...sounds });
        await sees('still a smaller picture', (height) => height < 720, FITS_MS);
      },
    });

    path.limit(port, TOO_SLOW);
    const began = Date.now();
    await until('bob is told that the video is paused', async () => (await note()) === PAUSED, { deadlineMs: FITS_MS, describe });
    t.diagnostic(`paused after ${Date.now() - began} ms`);
    await flowing([alice, bob], { ms: 5000, ...sounds });

    path.limit(port, null);
    await sees('720 lines again', (height) => height === 720, BACK_MS);
    await until('the note is gone', async () => (await note()) === '', { describe });
    await flowing([alice, bob], { ms: 3000 });
    assert.deepEqual([...alice.errors, ...bob.errors], []);
  });
}
