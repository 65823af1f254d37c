// Browsers that begin with a data channel and nothing else, as to-device messages have it, and negotiate their media over it: the DTLS handshake
// is over by then, and must have agreed on SRTP.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { need } from '../lib/need.mjs';
import { openParticipant } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';
import { until } from '../lib/wait.mjs';

/** In the page: what it offered first, once it is in the call. `window.channelCall` is what the other functions here look at. */
async function callOverChannel({ room, name }) {
  const response = await fetch('/dev/token', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ conference: room, name }) });
  const { token, url } = await response.json();
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const channel = pc.createDataChannel('rust-sfu');
  channel.binaryType = 'arraybuffer';
  const opened = new Promise((resolve) => (channel.onopen = resolve));
  const call = (window.channelCall = { pc, errors: [], subscribed: new Set() });
  const waiting = new Map();
  const heard = (type) => new Promise((resolve) => waiting.set(type, resolve));
  let id = 0;
  let carry = null;
  const say = (t, b) => carry(JSON.stringify({ t, id: ++id, b }));
  const slots = { audio: null, video: null };
  const meet = ({ tracks }) => {
    const wanted = tracks.filter(({ track, kind }) => slots[kind] && !call.subscribed.has(track));
    wanted.forEach(({ track }) => call.subscribed.add(track));
    if (wanted.length > 0) say('subscribe', { tracks: wanted.map(({ track, kind }) => ({ track, mid: slots[kind].mid, ...(kind === 'video' ? { width: 320, height: 180 } : {}) })) });
  };
  const known = new Map();
  const hear = (text) => {
    const { t, b } = JSON.parse(text);
    if (t === 'error') call.errors.push(b.error);
    if (t === 'welcome') b.participants.forEach((other) => known.set(other.id, other));
    if (t === 'participant' && b.participant) known.set(b.participant.id, b.participant);
    if (t === 'participant') known.forEach(meet);
    waiting.get(t)?.(b);
  };

  // The first messages: here over a WebSocket, else by to-device messages. They are the same.
  const socket = new WebSocket(new URL(url, location.href.replace(/^http/, 'ws')), 'rust-sfu.v1');
  socket.onmessage = ({ data }) => hear(data);
  await new Promise((resolve) => (socket.onopen = resolve));
  carry = (text) => socket.send(text);
  const welcomed = heard('welcome');
  say('hello', { v: 1, token });
  const { session, secret } = await welcomed;
  await pc.setLocalDescription();
  const first = pc.localDescription.sdp;
  const answered = heard('answer');
  say('offer', { sdp: first, seq: 1, tracks: [] });
  await pc.setRemoteDescription({ type: 'answer', sdp: (await answered).sdp });
  await opened;
  const { srtpCipher = null } = [...(await pc.getStats()).values()].find(({ type }) => type === 'transport') ?? {};

  // The session moves.
  const utf8 = new TextEncoder();
  const words = new TextDecoder();
  let parts = [];
  channel.onmessage = ({ data }) => {
    const bytes = new Uint8Array(data);
    if (bytes[0] > 1) return;
    parts.push(...bytes.subarray(1));
    if (bytes[0] === 0) return;
    hear(words.decode(Uint8Array.from(parts)));
    parts = [];
  };
  carry = (text) => {
    const bytes = utf8.encode(text);
    for (let at = 0; at < bytes.length; at += 16383) {
      const part = bytes.subarray(at, at + 16383);
      channel.send(Uint8Array.from([at + 16383 < bytes.length ? 0 : 1, ...part]));
    }
  };
  const resumed = heard('welcome');
  channel.send(Uint8Array.of(3));
  say('hello', { v: 1, resume: { session, secret } });
  await resumed;
  socket.close();

  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 180, frameRate: 15 } });
  const senders = stream.getTracks().map((track) => pc.addTransceiver(track, { direction: 'sendonly' }));
  for (const kind of ['audio', 'video']) slots[kind] = pc.addTransceiver(kind, { direction: 'recvonly' });
  // Chromium decodes no sound that nobody plays.
  call.sound = new Audio();
  call.sound.srcObject = new MediaStream([slots.audio.receiver.track]);
  void call.sound.play();
  await pc.setLocalDescription();
  const tracks = senders.map(({ mid, sender }) => ({ mid, source: sender.track.kind === 'audio' ? 'microphone' : 'camera', muted: false }));
  const accepted = heard('answer');
  say('offer', { sdp: pc.localDescription.sdp, seq: 2, tracks });
  await pc.setRemoteDescription({ type: 'answer', sdp: (await accepted).sdp });
  known.forEach(meet);
  return { media: /^m=(audio|video)/m.test(first), srtpCipher };
}

/** In the page: what comes. */
async function received() {
  const stats = [...(await window.channelCall.pc.getStats()).values()].filter(({ type }) => type === 'inbound-rtp');
  const of = (wanted) => stats.find(({ kind }) => kind === wanted) ?? {};
  return { frames: of('video').framesDecoded ?? 0, samples: (of('audio').totalSamplesReceived ?? 0) - (of('audio').concealedSamples ?? 0), errors: window.channelCall.errors };
}

test('a data channel is negotiated first, and media over it', { skip: need('chromium', 'firefox'), timeout: 90_000 }, async (t) => {
  const { server: startServer, chromium, firefox } = scene(t);
  const [server, chrome, fox] = await Promise.all([startServer(), chromium(), firefox()]);
  const pages = [await openParticipant(chrome, 'alice'), await openParticipant(fox, 'fiona')];
  for (const page of pages) {
    await page.goto(server.origin);
    const { media, srtpCipher } = await page.evaluate(callOverChannel, { room: 'channel', name: page.name });
    assert.equal(media, false, 'the first offer has no media');
    assert.match(srtpCipher, /^SRTP_/, 'agreed on nevertheless');
    t.diagnostic(`${page.kind}: ${srtpCipher}`);
  }
  for (const page of pages) {
    await until(`${page.name} sees and hears`, async () => {
      const { frames, samples } = await page.evaluate(received);
      return frames > 20 && samples > 48_000;
    }, { describe: () => page.evaluate(received) });
    assert.deepEqual((await page.evaluate(received)).errors, []);
  }
});
