// Two who may send media directly do, and the focus gets none of it; when a third one joins the call moves to the focus, and
// nobody notices.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from '../lib/chromium.mjs';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { joinCall } from '../lib/matrix/person.mjs';
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

/** Packets that the focus has got when it gets no more. */
async function settled() {
  let last = -1;
  return until('the focus gets no more media', async () => {
    const before = last;
    last = await mediaAtFocus();
    return before === last && { packets: last };
  }, { pollMs: 1500 }).then(({ packets }) => packets);
}

test('two send the focus no media; a third joins without a gap', { skip, timeout: 180_000 }, async (t) => {
  const words = { mesh: '1' };
  const alice = await joinCall(chrome, rig, users[0], room, { words });
  const bob = await joinCall(chrome, rig, users[1], room, { words });
  await allSeeAll([alice, bob], { deadlineMs: 60_000 });
  // Whoever is alone has nobody to send to directly yet, and may begin at the focus.
  const before = await settled();
  await flowing([alice, bob], { ms: 5000 });
  t.diagnostic(`packets at the focus: ${before} before the two had found each other, ${(await mediaAtFocus()) - before} in 5 s of their call`);
  assert.equal(await mediaAtFocus(), before);

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
});
