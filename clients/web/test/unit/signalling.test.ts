import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../src/backoff.ts';
import { Signalling, type EndReason } from '../../src/signalling.ts';
import { CLOSE, type Socket } from '../../src/socket.ts';
import { parseClientMessage, serialize, type ClientMessage, type ServerBody, type ServerMessage } from '../../src/wire.ts';
import { FakeClock } from './helpers.ts';

/** The focus's end of one socket. */
class FakeSocket implements Socket {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly received: ClientMessage[] = [];
  closedWith: number | undefined;

  send(text: string): void {
    const message = parseClientMessage(text);
    assert.ok(message);
    this.received.push(message);
  }

  close(code?: number): void {
    this.closedWith = code;
  }

  open(): void {
    this.onopen?.(undefined as never);
  }

  say(message: ServerMessage): void {
    this.onmessage?.({ data: serialize(message) });
  }

  drop(code = 1006): void {
    this.onclose?.({ code, reason: '' });
  }
}

function welcome(secret: string, resumed: boolean): ServerMessage {
  const limits = { message_bytes: 1000, messages_per_second: 10, published_tracks: 4, m_lines: 10 };
  const body: ServerBody<'welcome'> = { v: 1, session: 's', secret, participant: 'p', focus: 'f', resumed, ping_ms: 5000, resume_ms: 30_000, limits, participants: [] };
  return { t: 'welcome', re: 1, b: body };
}

function world(): { clock: FakeClock; sockets: FakeSocket[]; signalling: Signalling; log: string[]; ended: EndReason[] } {
  const clock = new FakeClock();
  const sockets: FakeSocket[] = [];
  const log: string[] = [];
  const ended: EndReason[] = [];
  const signalling = new Signalling({
    token: 'the-token',
    client: 'test',
    clock,
    connect: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
  });
  signalling.on('welcome', ({ resumed }) => log.push(resumed ? 'resumed' : 'joined'));
  signalling.on('interrupted', () => log.push('interrupted'));
  signalling.on('ended', ({ reason }) => ended.push(reason));
  signalling.start();
  return { clock, sockets, signalling, log, ended };
}

function last(sockets: FakeSocket[]): FakeSocket {
  const socket = sockets.at(-1);
  assert.ok(socket);
  return socket;
}

function joined(): ReturnType<typeof world> {
  const all = world();
  last(all.sockets).open();
  last(all.sockets).say(welcome('secret-1', false));
  return all;
}

test('hello carries the token, and nothing is sent before the welcome', () => {
  const { sockets, signalling, log } = world();
  last(sockets).open();
  assert.deepEqual(last(sockets).received[0]?.b, { v: 1, token: 'the-token', client: 'test' });
  assert.equal(signalling.send('keyframe', { track: 't' }), null);
  last(sockets).say(welcome('secret-1', false));
  assert.deepEqual(log, ['joined']);
  assert.equal(typeof signalling.send('keyframe', { track: 't' }), 'number');
});

test('a lost socket is resumed at once, each time with the newest secret', () => {
  const { clock, sockets, log } = joined();
  for (const round of [1, 2, 3]) {
    last(sockets).drop();
    clock.advance(0);
    assert.equal(sockets.length, round + 1, 'no waiting before the first attempt');
    last(sockets).open();
    assert.deepEqual(last(sockets).received[0]?.b, { v: 1, resume: { session: 's', secret: `secret-${round}` }, client: 'test' });
    last(sockets).say(welcome(`secret-${round + 1}`, true));
  }
  assert.deepEqual(log, ['joined', 'interrupted', 'resumed', 'interrupted', 'resumed', 'interrupted', 'resumed']);
});

test('after the focus has said leave there is nothing to resume, unless the code says that all is over', () => {
  for (const [code, expected] of [[1011, 'session-lost'], [CLOSE.timeout, 'session-lost'], [4503, 'session-lost'], [1006, 'session-lost'], [CLOSE.normal, 'left'], [CLOSE.forbidden, 'removed']] as const) {
    const { clock, sockets, ended } = joined();
    last(sockets).say({ t: 'leave', b: { code: 'M_UNKNOWN' } });
    last(sockets).drop(code);
    clock.advance(1000);
    assert.deepEqual([ended, sockets.length], [[expected], 1], String(code));
  }
});

test('attempts get rarer, and stop when the session is no longer kept', () => {
  const { clock, sockets, ended } = joined();
  const at: number[] = [];
  last(sockets).drop();
  let known = 1;
  for (let ms = 0; ms < 40_000 && ended.length === 0; ms += 100) {
    clock.advance(ms === 0 ? 0 : 100);
    if (sockets.length === known) continue;
    known = sockets.length;
    at.push(clock.now());
    last(sockets).drop();
  }
  assert.deepEqual(at, [0, 500, 1500, 3500, 7500, 15_500, 25_500]);
  assert.deepEqual(ended, ['session-lost']);
});

test('a resume that came too often is tried again', () => {
  const { clock, sockets, ended } = joined();
  last(sockets).drop();
  clock.advance(0);
  last(sockets).open();
  last(sockets).say({ t: 'error', re: 1, b: { errcode: 'M_LIMIT_EXCEEDED', error: 'too often', retry_after_ms: 500 } });
  last(sockets).drop(CLOSE.limited);
  clock.advance(10_000);
  assert.deepEqual(ended, []);
  assert.equal(sockets.length, 3);
});

test('a refused resume ends the session, whichever way it is refused', () => {
  const refusals: ((socket: FakeSocket) => void)[] = [
    (socket) => socket.drop(CLOSE.badToken),
    (socket) => socket.say({ t: 'error', re: 1, b: { errcode: 'M_UNKNOWN_TOKEN', error: 'no such session' } }),
    (socket) => socket.say(welcome('x', false)),
  ];
  for (const refuse of refusals) {
    const { clock, sockets, ended } = joined();
    last(sockets).drop();
    clock.advance(0);
    last(sockets).open();
    refuse(last(sockets));
    assert.deepEqual(ended, ['session-lost']);
    clock.advance(60_000);
    assert.equal(sockets.length, 2, 'it is not tried again');
  }
});

test('close codes', () => {
  const codes: [number, EndReason][] = [
    [CLOSE.badToken, 'token-refused'],
    [CLOSE.forbidden, 'removed'],
    [CLOSE.replaced, 'replaced'],
    [CLOSE.protocol, 'protocol'],
    [CLOSE.tooLarge, 'protocol'],
    [CLOSE.normal, 'left'],
  ];
  for (const [code, reason] of codes) {
    const { clock, sockets, ended } = joined();
    last(sockets).drop(code);
    clock.advance(60_000);
    assert.deepEqual(ended, [reason], `${code}`);
    assert.equal(sockets.length, 1);
  }
  for (const code of [CLOSE.timeout, CLOSE.limited, CLOSE.draining, 1001, 1006]) {
    const { clock, sockets, ended } = joined();
    last(sockets).drop(code);
    clock.advance(0);
    assert.deepEqual(ended, []);
    assert.equal(sockets.length, 2, `${code} is resumed`);
  }
});

test('three pings without an answer: the socket is dead, though it never says so', () => {
  const { clock, sockets, log } = joined();
  clock.advance(4 * 5000 - 1);
  assert.equal(last(sockets).received.filter(({ t }) => t === 'ping').length, 3);
  assert.equal(sockets.length, 1);
  clock.advance(1);
  assert.equal(sockets.length, 2);
  assert.deepEqual(log, ['joined', 'interrupted']);
});

test('anything that arrives counts as life', () => {
  const { clock, sockets } = joined();
  for (let n = 1; n <= 20; n++) {
    clock.advance(5000);
    last(sockets).say({ t: 'pong', b: { n } });
  }
  assert.equal(sockets.length, 1);
});

test('a first join gives up after a while', () => {
  const { clock, sockets, ended } = world();
  for (let i = 0; i < 20 && ended.length === 0; i++) {
    last(sockets).drop();
    clock.advance(10_000);
  }
  assert.deepEqual(ended, ['unreachable']);
});

test('a socket that opens and stays silent is given up after 10 s', () => {
  const { clock, sockets } = world();
  last(sockets).open();
  clock.advance(9999);
  assert.equal(sockets.length, 1);
  clock.advance(501);
  assert.equal(sockets.length, 2);
});

test('the network came back: no waiting for the back-off', () => {
  const { clock, sockets, signalling } = joined();
  for (const wait of [0, 500]) {
    last(sockets).drop();
    clock.advance(wait);
  }
  last(sockets).drop();
  const before = sockets.length;
  signalling.nudge();
  assert.equal(sockets.length, before + 1);
  signalling.nudge();
  assert.equal(sockets.length, before + 1, 'not two at a time');
});

test('leaving says so, and is final', () => {
  const { clock, sockets, signalling, ended } = joined();
  signalling.leave('bye');
  assert.deepEqual(last(sockets).received.at(-1)?.b, { code: 'left', reason: 'bye' });
  assert.equal(last(sockets).closedWith, CLOSE.normal);
  clock.advance(60_000);
  assert.deepEqual(ended, ['left']);
  assert.equal(sockets.length, 1);
});

test('messages of the future and broken ones end nothing', (t) => {
  t.mock.method(console, 'warn', () => undefined);
  const { sockets, signalling } = joined();
  const heard: string[] = [];
  signalling.on('message', ({ t: type }) => heard.push(type));
  for (const data of ['{"t":"future","b":1}', 'not json', '{"t":"mute","b":{}}', '{"t":"mute","b":{"track":"t","muted":true}}']) last(sockets).onmessage?.({ data });
  assert.deepEqual(heard, ['mute']);
});

test('back-off: jitter shortens, never lengthens, and has a ceiling', () => {
  for (const random of [0, 0.5, 0.999]) {
    const backoff = new Backoff(() => random);
    const waits = Array.from({ length: 12 }, () => backoff.next());
    assert.equal(waits[0], 0);
    assert.ok(waits.every((wait) => wait <= 10_000));
    assert.equal(waits[3], 2000 * (1 - random / 2));
    backoff.reset();
    assert.equal(backoff.next(), 0);
  }
});
