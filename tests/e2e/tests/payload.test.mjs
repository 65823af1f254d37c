// What the focus could read. It opens SRTP, so a capture of the network proves little about end-to-end encryption; but it
// forwards what it holds, and a receiver records that. What the sender's encoder made must not be found in it.
// The same search with encryption switched off must find it, else it would prove nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { need } from '../lib/need.mjs';
import { callLink, newSecret, openParticipant, SMALL } from '../lib/participant.mjs';
import { commonRuns, record, recorded, RUN } from '../lib/record.mjs';
import { scene } from '../lib/scene.mjs';
import { startCapture } from '../lib/tcpdump.mjs';
import { until } from '../lib/wait.mjs';

const FRAMES = 60;
const kindOf = ({ mimeType }) => (mimeType.startsWith('audio') ? 'audio' : 'video');

/** A call in which alice records what she encodes, and bob, who has no key of hers, what the focus sends him. */
async function eavesdrop(parts, { server, chrome, codec, encrypted }) {
  const room = `payload-${codec}-${encrypted}`;
  const secret = encrypted ? newSecret() : null;
  const query = { ...SMALL, codec };
  const alice = await openParticipant(chrome, 'alice');
  const bob = await openParticipant(chrome, 'bob');
  parts.keep(alice, () => alice.close());
  parts.keep(bob, () => bob.close());
  await record(alice, { clear: !encrypted });
  await record(bob);
  await bob.goto(callLink(server.origin, { room, name: 'bob', secret: encrypted ? newSecret() : null, query }));
  await bob.joined();
  await alice.goto(callLink(server.origin, { room, name: 'alice', secret, query }));
  await alice.joined();
  const counts = async (participant, side) => {
    const frames = (await recorded(participant)).filter((frame) => frame.side === side);
    return { audio: frames.filter((frame) => kindOf(frame) === 'audio').length, video: frames.filter((frame) => kindOf(frame) === 'video').length };
  };
  await until(
    'bob was sent enough of alice',
    async () => {
      const { audio, video } = await counts(bob, 'receive');
      return audio >= FRAMES && video >= FRAMES;
    },
    { deadlineMs: 30_000, pollMs: 500, describe: async () => ({ alice: await counts(alice, 'send'), bob: await counts(bob, 'receive') }) },
  );
  // Bob first: everything that he has was sent before it is read at alice.
  const forwarded = (await recorded(bob)).filter(({ side }) => side === 'receive');
  const encoded = (await recorded(alice)).filter(({ side }) => side === 'send');
  await alice.close();
  await bob.close();
  const bytes = (frames, kind) => frames.filter((frame) => kindOf(frame) === kind).map((frame) => frame.bytes);
  return { secret, encoded: (kind) => bytes(encoded, kind), forwarded: (kind) => bytes(forwarded, kind), media: encoded };
}

test('the focus sees no clear media', { skip: need('chromium', 'tcpdump'), timeout: 150_000 }, async (t) => {
  const parts = scene(t);
  const [server, chrome] = await Promise.all([parts.server(), parts.chromium()]);

  for (const codec of ['vp8', 'vp9']) {
    await t.test(`${codec} and Opus, encrypted: nothing of ${RUN} bytes or more is found`, async () => {
      const capture = await startCapture(`payload-${codec}`);
      parts.keep(capture, async () => capture.kill());
      const call = await eavesdrop(parts, { server, chrome, codec, encrypted: true });
      const packets = await capture.stop();

      // The clear prefixes (VP8 10 bytes, Opus 1) are shorter than a run, so no run of the sender's may appear at all.
      for (const kind of ['video', 'audio']) {
        const { hits, windows } = commonRuns(call.encoded(kind), call.forwarded(kind));
        assert.ok(windows > 1000, `${kind}: there is something to search for (${windows})`);
        assert.equal(hits, 0, `${kind}: runs of the sender's frames in what the focus forwarded`);
      }
      const sizes = call.forwarded('video').map(({ length }) => length);
      assert.ok(Math.max(...sizes) > 500, 'whole frames were forwarded');

      const media = packets.filter(({ protocol, source, destination, payload }) => protocol === 'udp' && (source === server.port || destination === server.port) && payload[0] >> 6 === 2);
      assert.ok(media.length > 100, `the capture has media (${media.length} packets)`);
      assert.equal(commonRuns(call.media.map(({ bytes }) => bytes), media.map(({ payload }) => payload)).hits, 0, 'on the wire neither');

      // The capture does see what is clear: the signalling of --dev is plain HTTP. The secret is not in it.
      const tcp = Buffer.concat(packets.filter(({ protocol }) => protocol === 'tcp').map(({ payload }) => payload));
      assert.ok(tcp.includes('GET /call/'), 'the capture has the page');
      assert.ok(!tcp.includes(call.secret), 'the secret never crosses the wire');
    });

    await t.test(`${codec} and Opus, not encrypted: the same search finds them`, async () => {
      const call = await eavesdrop(parts, { server, chrome, codec, encrypted: false });
      for (const kind of ['video', 'audio']) {
        const { hits } = commonRuns(call.encoded(kind), call.forwarded(kind));
        const total = call.forwarded(kind).reduce((sum, { length }) => sum + Math.max(0, length - RUN + 1), 0);
        t.diagnostic(`${codec} ${kind}: ${hits} of ${total} runs found`);
        assert.ok(hits > total / 2, `${kind}: ${hits} of ${total} runs`);
      }
    });
  }
});
