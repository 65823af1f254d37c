// As many slots as the document promises: one offer of 256 m-lines, as large as Chromium makes it, is answered.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { need } from '../lib/need.mjs';
import { openParticipant } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';

/** In the page: joins by hand, offers the largest number of m-lines with every codec there is, and takes the answer. */
async function offerMany() {
  const response = await fetch('/dev/token', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ conference: 'many', name: 'many' }) });
  const { token, url } = await response.json();
  const socket = new WebSocket(new URL(url, location.href.replace(/^http/, 'ws')), 'rust-sfu.v1');
  const heard = (wanted) =>
    new Promise((resolve, reject) => {
      socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
      socket.onmessage = ({ data }) => {
        const { t, b } = JSON.parse(data);
        if (t === 'error') reject(new Error(b.error));
        if (t === wanted) resolve(b);
      };
    });
  await new Promise((resolve) => (socket.onopen = resolve));
  const welcomed = heard('welcome');
  socket.send(JSON.stringify({ t: 'hello', id: 1, b: { v: 1, token } }));
  const { limits } = await welcomed;
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  pc.createDataChannel('rust-sfu');
  for (let i = 1; i < limits.m_lines; i++) pc.addTransceiver(i % 2 ? 'audio' : 'video', { direction: 'recvonly' });
  await pc.setLocalDescription();
  const { sdp } = pc.localDescription;
  const answered = heard('answer');
  const start = performance.now();
  const text = JSON.stringify({ t: 'offer', id: 2, b: { sdp, seq: 1, tracks: [] } });
  socket.send(text);
  const answer = await answered;
  const ms = Math.round(performance.now() - start);
  await pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
  const usable = pc.getTransceivers().filter(({ currentDirection }) => currentDirection === 'recvonly').length;
  await new Promise((resolve) => {
    const check = () => (pc.connectionState === 'connected' ? resolve() : undefined);
    pc.onconnectionstatechange = check;
    check();
  });
  socket.close();
  pc.close();
  return { m_lines: limits.m_lines, usable, sdpBytes: sdp.length, messageBytes: text.length, answerBytes: answer.sdp.length, ms };
}

test('an offer of 256 m-lines is answered, and every slot can be used', { skip: need('chromium'), timeout: 60_000 }, async (t) => {
  const { server: startServer, chromium } = scene(t);
  const [server, chrome] = await Promise.all([startServer(), chromium()]);
  const many = await openParticipant(chrome, 'many');
  await many.goto(`${server.origin}/`);
  const result = await many.evaluate(offerMany);
  t.diagnostic(JSON.stringify(result));
  assert.deepEqual([result.m_lines, result.usable], [256, 255]);
});
