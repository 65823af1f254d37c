// Sound and picture of one person belong together, and who joins late sees everybody at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allSeeAll, sees } from '../lib/expect.mjs';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { until } from '../lib/wait.mjs';

/** ITU-R BT.1359-1: 185 ms of sound after the picture are just acceptable. */
const APART_MS = 200;

/**
 * Runs in the page: browsers play in time with each other what belongs to one stream. In our answers each slot is a stream
 * of its own; here the first slots for sound and for pictures are one.
 */
function oneStream() {
  const { setRemoteDescription } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    const sections = sdp.split(/^(?=m=)/m);
    for (const kind of ['audio', 'video']) {
      const first = sections.findIndex((section) => section.startsWith(`m=${kind}`) && /^a=sendonly/m.test(section));
      if (first >= 0) sections[first] = sections[first].replace(/(msid:)\S+/g, '$1person');
    }
    return setRemoteDescription.call(this, { type, sdp: sections.join('') });
  };
}

for (const publisher of ['chromium', 'firefox']) {
  test(`sound and picture from ${publisher} are played together`, { skip: need('chromium', publisher), timeout: 90_000 }, async (t) => {
    const parts = scene(t);
    const [server, chrome] = await Promise.all([parts.server(), parts.chromium()]);
    const secret = newSecret();
    const room = `sync-${publisher}`;
    const bob = await join(chrome, server, { room, name: 'bob', secret, init: oneStream });
    const alice = await join(publisher === 'firefox' ? await parts.firefox() : chrome, server, { room, name: 'alice', secret });
    await sees(bob, [alice]);

    // Only sender reports tell a receiver which sound belongs to which picture.
    const apart = async () => {
      const media = await bob.media();
      const [sound, picture] = ['audio', 'video'].map((kind) => media.find((entry) => entry.kind === kind)?.playout);
      return sound && picture ? Math.round(sound - picture) : null;
    };
    const describe = async () => JSON.stringify([await apart(), await bob.media()]);
    await until(`they are less than ${APART_MS} ms apart`, async () => {
      const ms = await apart();
      return ms !== null && Math.abs(ms) < APART_MS;
    }, { deadlineMs: 20_000, describe });
    t.diagnostic(`sound is ${await apart()} ms from the picture`);
  });
}

test('who joins sees a picture that was sent before', { skip: need('chromium'), timeout: 60_000 }, async (t) => {
  const parts = scene(t);
  const [server, chrome] = await Promise.all([parts.server(), parts.chromium()]);
  const secret = newSecret();
  const alice = await join(chrome, server, { room: 'late', name: 'alice', secret });
  const bob = await join(chrome, server, { room: 'late', name: 'bob', secret });
  await allSeeAll([alice, bob]);
  const before = (await server.metrics()).sum('sfu_packets_replayed_total');
  const carol = await join(chrome, server, { room: 'late', name: 'carol', secret });
  const began = Date.now();
  await until('carol sees both', async () => (await carol.media()).filter(({ kind, decoded }) => kind === 'video' && decoded > 0).length === 2, { pollMs: 20, describe: () => carol.media() });
  t.diagnostic(`two pictures ${Date.now() - began} ms after carol was let in`);
  await sees(carol, [alice, bob]);
  await until('what was sent before was sent to carol', async () => (await server.metrics()).sum('sfu_packets_replayed_total') > before, { deadlineMs: 3000 });
});
