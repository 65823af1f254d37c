// A session without a socket: links to a focus's device, and the data channel. The focus here does of the dialect what it takes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Signalling, type EndReason } from '../../src/signalling.ts';
import { CLOSE } from '../../src/socket.ts';
import { Carriage, CHANNEL_MS, type Path } from '../../src/todevice/carriage.ts';
import type { Channel } from '../../src/todevice/channel-socket.ts';
import { EVENT_TYPE, type Claims, type Content } from '../../src/todevice/content.ts';
import { Assembly, BEGIN_FRAME, closeFrame, frames } from '../../src/todevice/frames.ts';
import { Link } from '../../src/todevice/link.ts';
import { LinkSocket, type Post } from '../../src/todevice/link-socket.ts';
import { parseClientMessage, serialize, type ClientMessage, type ServerBody, type ServerMessage } from '../../src/wire.ts';
import { Chance, FakeClock } from './helpers.ts';
import { settle } from './matrix-helpers.ts';

const CLAIMS: Claims = { room_id: '!r:x', slot_id: 'm.call#ROOM', member_id: 'm' };
const STEP_MS = 25;

class FakeChannel implements Channel {
  readyState = 'connecting';
  binaryType = '';
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  /** Our end writes here. */
  take: (data: Uint8Array<ArrayBuffer>) => void = () => undefined;

  send(data: Uint8Array<ArrayBuffer>): void {
    this.take(data);
  }

  come(data: Uint8Array<ArrayBuffer>): void {
    this.onmessage?.({ data: data.buffer });
  }
}

/** One that lives as long as its sessions are asked for. */
class FakeFocus {
  readonly joins: string[] = [];
  readonly heard: string[] = [];
  readonly #clock: FakeClock;
  readonly #links = new Map<string, Link>();
  readonly #assembly = new Assembly();
  #secret = 0;
  #session: string | null = null;
  /** What the session goes over. */
  current: Link | 'channel' | null = null;
  isDeaf = false;
  /** It hears, and says nothing. */
  isMute = false;
  answers = true;
  answersChannel = true;

  constructor(clock: FakeClock, readonly transmit: (content: Content) => void, readonly channel: FakeChannel) {
    this.#clock = clock;
    channel.take = (data) => this.#read(data);
  }

  forget(): void {
    this.#session = null;
  }

  handle(content: Content): void {
    if (this.isDeaf) return;
    let link = this.#links.get(content.session);
    if (!link) {
      if (content.seq === undefined || content.dest_session !== undefined) return;
      const made: Link = new Link({ clock: this.#clock, claims: CLAIMS, session: `focus.${this.#links.size}`, theirs: content.session, transmit: this.transmit, message: (m) => this.#say(JSON.stringify(m), made), ended: () => undefined });
      link = made;
      this.#links.set(content.session, made);
    }
    link.handle(content);
  }

  /** Over whatever the session goes. */
  say(message: ServerMessage): void {
    if (this.current !== 'channel') this.current?.send(message);
    else this.#clock.after(10, () => frames(serialize(message)).forEach((frame) => this.channel.come(frame)));
  }

  #read(data: Uint8Array): void {
    const frame = this.#assembly.handle(data);
    if (!this.answersChannel || frame === null || frame === 'fault') return;
    if (frame.is === 'begin') {
      // As after a loss of the path: what was said before comes ahead.
      const all = [...frames(serialize({ t: 'leave', b: { code: 'old' } })), BEGIN_FRAME];
      this.#clock.after(10, () => all.forEach((old) => this.channel.come(old)));
    } else if (frame.is === 'text') this.#say(frame.text, 'channel');
  }

  #say(text: string, from: Link | 'channel'): void {
    const message = parseClientMessage(text);
    assert.ok(message);
    this.heard.push(`${from === 'channel' ? 'channel' : 'link'} ${message.t}`);
    if (this.isMute) return;
    if (message.t === 'hello') this.#hello(message, from);
    else if (message.t === 'ping') this.say({ t: 'pong', b: message.b });
    else if (message.t === 'offer' && this.answers) this.say({ t: 'answer', re: message.id ?? 0, b: { sdp: '', seq: message.b.seq, tracks: [] } });
  }

  #hello({ id = 0, b: { token, resume } }: Extract<ClientMessage, { t: 'hello' }>, from: Link | 'channel'): void {
    assert.equal(token, undefined, 'the device takes the place of a token');
    const before = this.current;
    this.current = from;
    if (resume && (resume.session !== this.#session || ![`${this.#secret}`, `${this.#secret - 1}`].includes(resume.secret))) {
      this.say({ t: 'error', re: id, b: { errcode: 'M_UNAUTHORIZED', error: 'no such session' } });
      return this.#close(from, CLOSE.badToken);
    }
    if (!resume) this.#session = `s${this.joins.push('join')}`;
    if (before && before !== from) this.#close(before, CLOSE.replaced);
    const limits = { message_bytes: 1000, messages_per_second: 10, published_tracks: 4, m_lines: 10 };
    const b: ServerBody<'welcome'> = { v: 1, session: this.#session ?? '', secret: String(++this.#secret), participant: 'p', focus: 'f', resumed: resume !== undefined, ping_ms: 5000, resume_ms: 30_000, limits, participants: [] };
    this.say({ t: 'welcome', re: id, b });
  }

  #close(what: Link | 'channel', code: number): void {
    if (what === 'channel') this.channel.come(closeFrame(code));
    else what.close(code);
  }
}

interface World {
  readonly clock: FakeClock;
  readonly focus: FakeFocus;
  readonly signalling: Signalling;
  readonly channel: FakeChannel;
  readonly path: { isConnected: boolean; isSettled: boolean };
  readonly carriage: Carriage;
  readonly log: string[];
  readonly ended: EndReason[];
  readonly failed: string[];
  /** Ids of the links that were begun. */
  readonly links: string[];
  /** Listeners that wait for to-device messages. */
  readonly listening: () => number;
  run(ms: number, until?: () => boolean): Promise<void>;
}

/** `weather`: what becomes of an event; how often it arrives, and when. */
function world(weather: () => readonly number[] = () => [40]): World {
  const clock = new FakeClock();
  const channel = new FakeChannel();
  const listeners = new Set<(type: string, content: unknown) => void>();
  const carry = (arrive: (content: Content) => void) => (content: Content) => {
    const copy = JSON.parse(JSON.stringify(content)) as Content;
    for (const ms of weather()) clock.after(ms, () => arrive(copy));
  };
  const focus = new FakeFocus(clock, carry((content) => listeners.forEach((listener) => listener(EVENT_TYPE, content))), channel);
  const toFocus = carry((content) => focus.handle(content));
  const post: Post = {
    send: (type, content) => (assert.equal(type, EVENT_TYPE), toFocus(content)),
    onMessage: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
  };
  const [log, ended, failed, links]: [string[], EndReason[], string[], string[]] = [[], [], [], []];
  const path: Path & World['path'] = { channel, isConnected: false, isSettled: true };
  const carriage = new Carriage({
    clock,
    openLink: () => new LinkSocket({ clock, post, claims: CLAIMS, session: `client.${links.push('link')}` }),
    move: (open) => signalling.moveTo(open),
    isOnLink: () => signalling.up && signalling.isNarrow,
    failed: (detail) => (failed.push(detail), signalling.lose(detail)),
  });
  const signalling: Signalling = new Signalling({ connect: () => carriage.connect(), token: null, client: 'test', clock });
  let seq = 0;
  signalling.on('welcome', ({ resumed }) => {
    log.push(`${resumed ? 'resumed' : 'joined'} over ${signalling.isNarrow ? 'link' : 'channel'}`);
    if (!signalling.isNarrow) return carriage.moved();
    if (!resumed || !path.isConnected) {
      path.isSettled = false;
      assert.notEqual(signalling.send('offer', { sdp: 'v=0', seq: ++seq, tracks: [] }), null);
    }
    carriage.linked(path);
  });
  signalling.on('message', ({ t }) => {
    log.push(t);
    if (t === 'answer') {
      path.isSettled = true;
      carriage.check();
    }
  });
  signalling.on('interrupted', () => log.push('interrupted'));
  signalling.on('ended', ({ reason }) => ended.push(reason));
  signalling.start();
  const run = async (ms: number, until = (): boolean => false): Promise<void> => {
    for (let left = ms; left > 0 && !until(); left -= STEP_MS) {
      clock.advance(STEP_MS);
      await settle();
    }
  };
  return { clock, focus, signalling, channel, path, carriage, log, ended, failed, links, listening: () => listeners.size, run };
}

/** ICE and SCTP are there. */
function connect({ channel, path, carriage }: World): void {
  channel.readyState = 'open';
  path.isConnected = true;
  carriage.check();
}

async function inCall(): Promise<World> {
  const all = world();
  await all.run(1000);
  connect(all);
  await all.run(1000);
  assert.deepEqual(all.log, ['joined over link', 'answer', 'resumed over channel']);
  return all;
}

test('a link opens the channel, and the session goes on there', async () => {
  const all = world();
  const { focus, signalling, log, ended, run } = all;
  await run(1000);
  assert.deepEqual(log, ['joined over link', 'answer']);
  assert.equal(signalling.send('keyframe', { track: 't' }), null, 'not this way');
  connect(all);
  await run(1000);
  assert.equal(typeof signalling.send('keyframe', { track: 't' }), 'number');
  await run(60_000);
  assert.deepEqual(focus.heard.filter((what) => !what.endsWith('ping')), ['link hello', 'link offer', 'channel hello', 'channel keyframe']);
  assert.ok(focus.heard.includes('channel ping'));
  assert.deepEqual([log.slice(2), ended, focus.joins.length], [['resumed over channel'], [], 1], 'that the link is closed with 4409 is nothing');
  assert.equal(all.listening(), 0, 'nobody listens to links that are over');
});

test('while an offer waits for its answer the session stays on the link', async () => {
  const all = world();
  all.focus.answers = false;
  await all.run(1000);
  connect(all);
  await all.run(1000);
  assert.deepEqual(all.log, ['joined over link']);
});

test('the path is lost: another link, then the same channel again; what is old on it is void', async () => {
  const all = await inCall();
  const { focus, signalling, path, log, links, run } = all;
  path.isConnected = false;
  signalling.interrupt('the path is lost');
  await run(1000);
  assert.deepEqual(log.splice(0), ['joined over link', 'answer', 'resumed over channel', 'interrupted', 'resumed over link', 'answer']);
  connect(all);
  await run(1000);
  assert.deepEqual(log, ['resumed over channel'], 'and not the leave of before');
  assert.deepEqual([links.length, focus.joins.length], [2, 1]);
});

test('the path is lost while the session changes over: no waiting for a welcome', async () => {
  const all = world();
  all.focus.answersChannel = false;
  await all.run(1000);
  connect(all);
  await all.run(500);
  all.path.isConnected = false;
  all.signalling.interrupt('the path is lost');
  await all.run(1000);
  assert.deepEqual(all.log.slice(2), ['interrupted', 'resumed over link', 'answer']);
});

test('the focus closes the connection on a channel that is well: back by a link at once', async () => {
  const all = await inCall();
  all.channel.come(closeFrame(CLOSE.timeout));
  await all.run(1000);
  assert.deepEqual(all.log.slice(3), ['interrupted', 'resumed over link', 'resumed over channel']);
});

test('a focus that began anew knows no session', async () => {
  const { focus, signalling, path, ended, run } = await inCall();
  focus.forget();
  path.isConnected = false;
  signalling.interrupt('the path is lost');
  await run(1000);
  assert.deepEqual(ended, ['session-lost']);
});

test('a device that does not answer, or has nothing to say: a second link, and no third', async () => {
  for (const fault of ['isDeaf', 'isMute'] as const) {
    const { focus, ended, links, run } = world();
    focus[fault] = true;
    await run(29_000);
    assert.deepEqual([ended, links.length], [[], 2]);
    await run(5_000);
    assert.deepEqual([ended, links.length], [['unreachable'], 2]);
  }
});

test('a channel that does not open is not waited for for ever', async () => {
  const { failed, ended, run } = world();
  await run(CHANNEL_MS);
  assert.deepEqual(failed, []);
  await run(1000);
  assert.deepEqual([failed, ended], [['the data channel does not open'], ['session-lost']]);
});

test('nor one that was closed', async () => {
  const all = await inCall();
  all.channel.readyState = 'closed';
  all.channel.onclose?.();
  await all.run(1000);
  assert.deepEqual([all.log.slice(3), all.failed, all.ended], [['interrupted', 'resumed over link'], ['the data channel is closed'], ['session-lost']]);
});

test('nor one that opens and carries nothing', async () => {
  const all = world();
  all.focus.answersChannel = false;
  await all.run(1000);
  connect(all);
  await all.run(60_000);
  assert.deepEqual(all.failed, ['the data channel carries nothing']);
  assert.deepEqual(all.log.slice(2), ['interrupted', 'resumed over link', 'interrupted', 'resumed over link']);
});

test('an offer that no link carries, or an answer: the call is joined anew', async () => {
  for (const break_ of [({ signalling }: World) => void signalling.send('offer', { sdp: 'x'.repeat(21_000), seq: 9, tracks: [] }), ({ focus }: World) => (focus.current as Link).close(CLOSE.tooLarge)]) {
    const all = world();
    await all.run(1000);
    break_(all);
    await all.run(1000);
    assert.deepEqual(all.ended, ['session-lost']);
  }
});

test('leaving is said, whichever way the session goes', async () => {
  const [onLink, onChannel] = [world(), await inCall()];
  await onLink.run(1000);
  for (const { signalling, focus, run, listening, ended } of [onLink, onChannel]) {
    signalling.leave();
    await run(20_000);
    assert.match(String(focus.heard.at(-1)), /leave$/);
    assert.deepEqual([ended, listening()], [['left'], 0]);
  }
});

test('bad weather: the session comes to its channel, comes back to it, and is one', async () => {
  for (let seed = 0; seed < 60; seed++) {
    const chance = new Chance(seed);
    const once = (): number => 30 + chance.below(900);
    const all = world(() => (chance.is(6) ? [] : chance.is(4) ? [once(), once()] : [once()]));
    const { focus, signalling, path, log, ended, run } = all;
    const isThere = (): boolean => log.at(-1) === 'resumed over channel';
    connect(all);
    await run(40_000, isThere);
    assert.ok(isThere(), `seed ${seed}: ${log.join()}`);
    path.isConnected = false;
    signalling.interrupt('the path is lost');
    await run(12_000, () => log.at(-1) === 'answer');
    connect(all);
    await run(12_000, isThere);
    await run(20_000);
    assert.deepEqual([log.at(-1), ended, focus.joins.length], ['resumed over channel', [], 1], `seed ${seed}: ${log.join()}`);
  }
});
