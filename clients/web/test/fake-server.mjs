// A focus without media, for looking at the page and for trying how it behaves when sockets fail:
//
//   node test/fake-server.mjs [port] [number of other participants]
//
// It serves dist/, gives tokens, welcomes, resumes, answers pings and sends speakers and qualities. Offers stay without an
// answer, so nothing is ever received. `POST /fake {"do": "drop" | "close" | "leave" | "join", …}` makes things happen.

import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = path.join(path.dirname(fileURLToPath(import.meta.url)), '../dist');
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' };
/** What the real server sends: a page that needs more than this is a page that will break. */
const POLICY =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; connect-src 'self' ws: wss:; worker-src 'self' blob:";
const NAMES = ['Ada Lovelace', 'Grace', 'Katherine Johnson', 'Edsger', 'Barbara Liskov', 'Alan', 'Radia Perlman', 'Tim', 'Hedy', 'Donald', 'Frances Allen'];

function participant(index, encrypted = true) {
  const enc = encrypted ? { enc: { format: 'sframe', key_index: 0 } } : {};
  return {
    id: `p-${index}`,
    name: NAMES[index % NAMES.length],
    tracks: [
      { track: `t-${index}-a`, kind: 'audio', source: 'microphone', muted: index % 3 === 1, ...enc },
      { track: `t-${index}-v`, kind: 'video', source: 'camera', muted: false, width: 1280, height: 720, ...enc },
    ],
  };
}

export async function fakeServer(port = 0, others = 3) {
  const sockets = new Set();
  const sessions = new Map();
  const participants = Array.from({ length: others }, (_, index) => participant(index, index !== 2));
  const received = [];

  const send = (socket, message) => socket.write(frame(JSON.stringify(message)));
  const everybody = (message) => sockets.forEach((socket) => send(socket, message));

  function handle(socket, message) {
    received.push(message);
    const { t, id, b } = message;
    if (t === 'hello') {
      const resumed = b.resume !== undefined && sessions.get(b.resume.session) === b.resume.secret;
      if (b.resume && !resumed) return socket.end(closeFrame(4401, 'no such session'));
      const session = resumed ? b.resume.session : `s-${randomUUID()}`;
      const secret = randomUUID();
      sessions.set(session, secret);
      const limits = { message_bytes: 262144, messages_per_second: 50, published_tracks: 8, m_lines: 128 };
      const welcome = { v: 1, session, secret, participant: 'p-self', focus: 'f-fake', resumed, ping_ms: 5000, resume_ms: 20000, limits, participants };
      return send(socket, { t: 'welcome', re: id, b: welcome });
    }
    if (t === 'ping') return send(socket, { t: 'pong', b });
    if (t === 'leave') return socket.end(closeFrame(1000, ''));
  }

  function command(order) {
    if (order.do === 'drop') sockets.forEach((socket) => socket.destroy());
    if (order.do === 'close') sockets.forEach((socket) => socket.end(closeFrame(order.code, order.reason ?? '')));
    if (order.do === 'forget') sessions.clear();
    if (order.do === 'say') everybody(order.message);
    if (order.do === 'leave') {
      const gone = participants.shift();
      if (gone) everybody({ t: 'participant', b: { event: 'left', id: gone.id, reason: 'left' } });
    }
    if (order.do === 'join') {
      const added = participant(participants.length + 3);
      participants.push(added);
      everybody({ t: 'participant', b: { event: 'joined', participant: added } });
    }
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://fake');
    const headers = { 'content-security-policy': POLICY };
    if (request.method === 'POST') {
      let text = '';
      for await (const chunk of request) text += chunk;
      const reply = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      if (url.pathname === '/fake') return reply(200, command(JSON.parse(text)) ?? {});
      const { conference } = JSON.parse(text);
      if (conference === 'closed') return reply(404, { errcode: 'M_NOT_FOUND', error: 'not in --dev mode' });
      if (conference === 'refused') return reply(403, { errcode: 'M_FORBIDDEN', error: 'no' });
      return reply(200, { token: 'fake', url: '/rtc/v1' });
    }
    const file = url.pathname.startsWith('/assets/') ? path.join('assets', path.basename(url.pathname)) : 'index.html';
    try {
      const body = await readFile(path.join(dist, file));
      response.writeHead(200, { ...headers, 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.on('upgrade', (request, socket) => {
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: rust-sfu.v1\r\n\r\n`);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const read = frames((text) => handle(socket, JSON.parse(text)), () => socket.end());
    socket.on('data', read);
  });
  const timer = setInterval(() => {
    const scores = ['good', 'good', 'fair', 'poor'];
    everybody({ t: 'quality', b: { participants: participants.map(({ id }, index) => ({ participant: id, score: scores[index % 4] })) } });
    everybody({ t: 'speakers', b: { speakers: participants.slice(0, 1).map(({ id }) => ({ participant: id, level: 20 })) } });
  }, 500);
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    received,
    command,
    close() {
      clearInterval(timer);
      sockets.forEach((socket) => socket.destroy());
      server.close();
    },
  };
}

function frame(text, opcode = 1) {
  const body = Buffer.isBuffer(text) ? text : Buffer.from(text);
  const length = body.length < 126 ? [body.length] : body.length < 65536 ? [126, body.length >> 8, body.length & 255] : [127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((bits) => (body.length >>> bits) & 255)];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length]), body]);
}

function closeFrame(code, reason) {
  return frame(Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]), 8);
}

/** Takes the frames of a client apart: masked, and (enough for browsers) never fragmented. */
function frames(ontext, onclose) {
  let buffer = Buffer.alloc(0);
  return (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      if (buffer.length < 2) return;
      const short = buffer[1] & 127;
      const head = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (buffer.length < head + 4) return;
      const length = short === 126 ? buffer.readUInt16BE(2) : short === 127 ? Number(buffer.readBigUInt64BE(2)) : short;
      if (buffer.length < head + 4 + length) return;
      const mask = buffer.subarray(head, head + 4);
      const body = Buffer.from(buffer.subarray(head + 4, head + 4 + length)).map((byte, index) => byte ^ mask[index & 3]);
      const opcode = buffer[0] & 15;
      buffer = buffer.subarray(head + 4 + length);
      if (opcode === 1) ontext(body.toString());
      if (opcode === 8) onclose();
    }
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { port } = await fakeServer(Number(process.argv[2] ?? 8090), Number(process.argv[3] ?? 3));
  console.log(`http://localhost:${port}/call/test#secret`);
}
