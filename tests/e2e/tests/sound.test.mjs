// Lost sound is asked for and comes again, in both directions: packets are lost between Chromium and the server.

import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { until } from '../lib/wait.mjs';

const nft = (rule) => execFileSync('nft', rule.split(' '), { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });

function sound() {
  return window.sfuCall.peerConnection.getStats().then((report) => {
    const of = (type) => [...report.values()].filter((entry) => entry.type === type && entry.kind === 'audio');
    const sum = (entries, field) => entries.reduce((all, entry) => all + (entry[field] ?? 0), 0);
    const [incoming, outgoing] = [of('inbound-rtp'), of('outbound-rtp')];
    return { asked: sum(incoming, 'nackCount'), lost: sum(incoming, 'packetsLost'), wasAsked: sum(outgoing, 'nackCount'), again: sum(outgoing, 'retransmittedPacketsSent') };
  });
}

test('a receiver asks for lost sound', { skip: need('chromium'), timeout: 60_000 }, async (t) => {
  const { server: startServer, chromium } = scene(t);
  const [server, chrome] = await Promise.all([startServer(), chromium()]);
  const secret = newSecret();
  const alice = await join(chrome, server, { room: 'sound', name: 'alice', secret });
  const bob = await join(chrome, server, { room: 'sound', name: 'bob', secret });
  await until('both hear each other', async () => (await Promise.all([alice.media(), bob.media()])).every((media) => media.some(({ kind, samples }) => kind === 'audio' && samples > 0)));
  nft('add table ip loss');
  t.after(() => nft('delete table ip loss'));
  nft('add chain ip loss some { type filter hook input priority 0; }');
  // Sound packets, not the larger ones of video nor the smaller ones of feedback.
  nft('add rule ip loss some ip protocol udp udp length 60-300 numgen random mod 20 == 0 drop');
  await until('bob has asked for lost sound', async () => (await bob.evaluate(sound)).asked > 3, { describe: () => bob.evaluate(sound) });
  t.diagnostic(JSON.stringify({ alice: await alice.evaluate(sound), bob: await bob.evaluate(sound) }));
  const { again } = await alice.evaluate(sound);
  t.diagnostic(`sent again by alice: ${again}`);
});
