// Two who may send media directly do, and the focus gets none of it; when a third one joins the call moves to the focus, and
// nobody notices.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from '../lib/chromium.mjs';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { inCall, joinCall } from '../lib/matrix/person.mjs';
import { startRig } from '../lib/matrix/rig.mjs';
import { need } from '../lib/need.mjs';
import { until } from '../lib/wait.mjs';

const GAP_MS = 1000;
const skip = need('chromium', 'synapse', 'openssl');

let rig, chrome, users, room;
before(async () => {
  if (skip) return;
  [rig, chrome] = await Promise.all([startRig(), launchChromium()]);
  users = await Promise.all([rig.user('alice', 0), rig.user('bob', 1), rig.user('carol', 1)]);
  room = await rig.room(users);
});
after(async () => {
  await chrome?.close();
  await rig?.close();
});

const mediaAtFocus = async () => (await rig.focus.metrics()).sum('sfu_packets_received_total');

/** Waits until the focus has got nothing for a while. */
async function quiet() {
  let last = -1;
  await until('the focus gets no more media', async () => {
    const before = last;
    last = await mediaAtFocus();
    return before === last;
  }, { deadlineMs: 30_000, pollMs: 1500 });
}

test('two send the focus no media; a third joins without a gap; and back', { skip, timeout: 240_000 }, async (t) => {
  const words = { mesh: '1' };
  const none = async (when) => assert.equal(await mediaAtFocus(), 0, `packets of media at the focus ${when}`);
  // From before the first one joins: neither who is alone sends to it, nor two who have yet to find each other.
  await none('before the call');
  const alice = await joinCall(chrome, rig, users[0], room, { words });
  const bob = await joinCall(chrome, rig, users[1], room, { words });
  await allSeeAll([alice, bob], { deadlineMs: 60_000 });
  await none('while the two found each other');
  const direct = await flowing([alice, bob], { ms: 5000 });
  await none('in five seconds of their call');
  t.diagnostic(`no packet at the focus; longest standstill of the direct call: ${direct.worstMs} ms`);

  assert.ok((await alice.evaluate(async () => (await window.sfuMatrixCall.stats()).bytesOut)) > 0, 'the page has figures of it all the same');

  await bob.page.reload({ waitUntil: 'domcontentloaded' });
  await inCall(bob);
  await allSeeAll([alice, bob], { deadlineMs: 60_000 });
  await none('after one of them has reloaded');

  let carol;
  const { worstMs } = await flowing([alice, bob], {
    freezeMs: GAP_MS,
    blindness: true,
    during: async () => {
      carol = await joinCall(chrome, rig, users[2], room, { words });
      await allSeeAll([alice, bob, carol], { deadlineMs: 60_000 });
    },
  });
  t.diagnostic(`longest standstill while the call moved to the focus: ${worstMs} ms`);
  assert.ok((await mediaAtFocus()) > 0);
  await flowing([alice, bob, carol], { ms: 5000 });

  const back = await flowing([alice, bob], {
    freezeMs: GAP_MS,
    blindness: true,
    during: async () => {
      await carol.click('#leave');
      const left = Date.now();
      await until('the two are direct again', async () => (await Promise.all([alice, bob].map((one) => one.evaluate(() => window.sfuMatrixCall.direct)))).every(Boolean), { deadlineMs: 60_000 });
      await quiet();
      t.diagnostic(`direct again, and the focus left, ${Date.now() - left} ms after the third one left`);
    },
  });
  t.diagnostic(`longest standstill on the way back: ${back.worstMs} ms`);

  await bob.click('#leave');
  await until('alice is alone', async () => (await alice.participants()).length === 0);
  await quiet();
});
