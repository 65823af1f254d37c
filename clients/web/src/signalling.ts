// The socket of one session: hello, liveness, resuming after the socket was lost, and going over to another one. Media does not
// depend on it and goes on meanwhile. What to do when a session cannot be resumed is the caller's decision (`ended`).

import { Backoff } from './backoff.ts';
import { realClock, type Clock } from './clock.ts';
import { Emitter } from './emitter.ts';
import { CLOSE, type Socket } from './socket.ts';
import { Invalid } from './validate.ts';
import { parseServerMessage, serialize, SUBPROTOCOL, VERSION, type ClientBody, type ClientMessage, type ServerBody, type ServerMessage } from './wire.ts';

export type EndReason =
  /** We left, or the focus agreed to it. */
  | 'left'
  | 'token-refused'
  | 'removed'
  | 'replaced'
  | 'protocol'
  /** The session is gone: join afresh. */
  | 'session-lost'
  /** No focus answered, before there was a session. */
  | 'unreachable';

export interface SignallingEvents {
  welcome: ServerBody<'welcome'>;
  message: Exclude<ServerMessage, { t: 'welcome' | 'pong' }>;
  /** The socket is gone; it will be tried again until `resume_ms` are over. */
  interrupted: undefined;
  ended: { reason: EndReason; detail: string };
}

export interface SignallingOptions {
  /** Called for each attempt. */
  readonly connect: () => Socket;
  /** `null`: whoever carries the messages vouches for us. */
  readonly token: string | null;
  readonly client: string;
  readonly clock?: Clock;
  /** A first join gives up after this long; a person waits for it. */
  readonly joinMs?: number;
}

export function webSocket(url: string): Socket {
  return new WebSocket(url, SUBPROTOCOL) as Socket;
}

/** The focus waits this long for `hello`, and we for `welcome`. */
const WELCOME_MS = 10_000;
const JOIN_MS = 20_000;
const MISSED_PINGS = 3;

type Phase = 'joining' | 'up' | 'resuming' | 'ended';

export class Signalling extends Emitter<SignallingEvents> {
  readonly #options: SignallingOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  #phase: Phase = 'joining';
  #socket: Socket | null = null;
  #session: { id: string; secret: string; resumeMs: number; pingMs: number } | null = null;
  #deadline: number;
  #cancelTimer: () => void = () => undefined;
  #cancelWait: (() => void) | null = null;
  #nextId = 1;
  #pings = 0;
  #unanswered = 0;
  /** From one socket, which was well, to another. */
  #isMoving = false;
  /** The focus has said that the session is over, whatever the close code would allow. */
  #farewell = false;

  constructor(options: SignallingOptions) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#backoff = new Backoff(() => this.#clock.random());
    this.#deadline = this.#clock.now() + (options.joinMs ?? JOIN_MS);
  }

  get up(): boolean {
    return this.#phase === 'up';
  }

  /** The socket carries only what it takes to get another one. */
  get isNarrow(): boolean {
    return this.#socket?.narrow !== undefined;
  }

  start(): void {
    this.#backoff.next();
    this.#open();
  }

  /** Returns the id of the message, or `null` when there is no session to send it in. Nothing is queued. */
  send<T extends ClientMessage['t']>(t: T, b: ClientBody<T>): number | null {
    if (this.#phase !== 'up' || !this.#socket) return null;
    const { narrow } = this.#socket;
    if (narrow && !narrow.types.has(t)) return null;
    const id = this.#nextId++;
    const text = serialize({ t, id, b } as ClientMessage);
    if (narrow && bytesOf(text) > narrow.bytes) {
      this.lose('a message is too large for this way');
      return null;
    }
    this.#socket.send(text);
    return id;
  }

  /** The session goes on over this socket. The focus closes the one before, which is not listened to any more. */
  moveTo(open: () => Socket): void {
    if (this.#phase !== 'up') return;
    this.#drop()?.release?.();
    this.#resume();
    this.#isMoving = true;
    this.#open(open);
  }

  /** What the socket went over is gone, which it may notice late or never. */
  interrupt(why: string): void {
    if ((this.#phase === 'up' || this.#isMoving) && this.#socket) this.#giveUp(this.#socket, why);
  }

  /** There is no way for this session to go on. */
  lose(detail: string): void {
    if (this.#phase !== 'ended') this.#refused(detail);
  }

  /** The network came back: try now instead of when the back-off says so. */
  nudge(): void {
    if (!this.#cancelWait) return;
    this.#cancelWait();
    this.#cancelWait = null;
    this.#open();
  }

  /** Leaves for good. */
  leave(reason?: string): void {
    if (this.#phase === 'ended') return;
    this.send('leave', reason === undefined ? { code: 'left' } : { code: 'left', reason });
    const socket = this.#drop();
    socket?.close(CLOSE.normal);
    this.#end('left', 'left');
  }

  #open(connect = this.#options.connect): void {
    this.#cancelWait = null;
    const socket = connect();
    this.#socket = socket;
    socket.onopen = () => this.#hello(socket);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#closed(socket, code, reason);
    const patience = this.#phase === 'joining' ? (this.#options.joinMs ?? Infinity) : Infinity;
    this.#timer(Math.min(patience, socket.narrow?.welcomeMs ?? WELCOME_MS), () => this.#giveUp(socket, 'no welcome'));
  }

  #hello(socket: Socket): void {
    const resume = this.#session && { session: this.#session.id, secret: this.#session.secret };
    const { token } = this.#options;
    const right = resume ? { resume } : token === null ? {} : { token };
    socket.send(serialize({ t: 'hello', id: this.#nextId++, b: { v: VERSION, ...right, client: this.#options.client } }));
  }

  #receive(data: unknown): void {
    let message: ServerMessage | null;
    try {
      message = parseServerMessage(String(data));
    } catch (error) {
      // One bad message is no reason to end a call; the focus is newer or faulty, and the next one may be fine.
      console.warn('ignored a message:', error instanceof Invalid ? error.message : error);
      return;
    }
    this.#unanswered = 0;
    if (message === null || message.t === 'pong') return;
    if (message.t === 'welcome') this.#welcome(message.b);
    else if (message.t === 'error' && this.#phase === 'resuming') {
      // Too often is not never: the session is still held, and the close that follows leads to another attempt.
      if (message.b.errcode !== 'M_LIMIT_EXCEEDED') this.#refused(message.b.error);
    }
    else {
      if (message.t === 'leave') this.#farewell = true;
      this.emit('message', message);
    }
  }

  #welcome(welcome: ServerBody<'welcome'>): void {
    if (this.#phase === 'up' || this.#phase === 'ended') return;
    if (this.#phase === 'resuming' && !welcome.resumed) {
      this.#refused('the session was not kept');
      return;
    }
    this.#session = { id: welcome.session, secret: welcome.secret, resumeMs: welcome.resume_ms, pingMs: welcome.ping_ms };
    this.#phase = 'up';
    this.#isMoving = false;
    this.#backoff.reset();
    this.#schedulePing();
    this.emit('welcome', welcome);
  }

  #schedulePing(): void {
    const socket = this.#socket;
    this.#timer(this.#session?.pingMs ?? WELCOME_MS, () => {
      if (!socket || socket !== this.#socket) return;
      if (this.#unanswered >= MISSED_PINGS) {
        this.#giveUp(socket, 'no pong');
        return;
      }
      this.#unanswered++;
      socket.send(serialize({ t: 'ping', b: { n: ++this.#pings } }));
      this.#schedulePing();
    });
  }

  /** A dead network may keep `onclose` back for minutes, so the socket is not waited for. */
  #giveUp(socket: Socket, why: string): void {
    if (socket !== this.#socket) return;
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
    this.#closed(socket, CLOSE.timeout, why);
  }

  #closed(socket: Socket, code: number, reason: string): void {
    if (socket !== this.#socket || this.#phase === 'ended') return;
    this.#drop();
    this.#unanswered = 0;
    if (code === CLOSE.replaced) return this.#end('replaced', reason);
    if (code === CLOSE.normal && this.#phase === 'up') return this.#end('left', reason);
    if (this.#phase === 'resuming' && (code === CLOSE.badToken || code === CLOSE.protocol)) return this.#end('session-lost', reason);
    if (code === CLOSE.badToken) return this.#end('token-refused', reason);
    if (code === CLOSE.forbidden) return this.#end('removed', reason);
    // An answer that does not fit ends a narrow way, and would the next one.
    if (code === CLOSE.tooLarge && socket.narrow) return this.#end('session-lost', reason);
    if (code === CLOSE.protocol || code === CLOSE.tooLarge) return this.#end('protocol', reason);
    if (this.#farewell) return this.#end('session-lost', reason);
    if (this.#phase === 'up') this.#resume();
    else if (!this.#isMoving) return this.#retry(reason || `closed with ${code}`);
    this.#isMoving = false;
    this.emit('interrupted', undefined);
    this.#retry(reason || `closed with ${code}`);
  }

  #resume(): void {
    this.#phase = 'resuming';
    this.#unanswered = 0;
    this.#deadline = this.#clock.now() + (this.#session?.resumeMs ?? 0);
  }

  #retry(detail: string): void {
    const wait = this.#backoff.next();
    if (this.#clock.now() + wait >= this.#deadline) {
      this.#end(this.#phase === 'resuming' ? 'session-lost' : 'unreachable', detail);
      return;
    }
    this.#cancelWait = this.#clock.after(wait, () => this.#open());
  }

  #refused(detail: string): void {
    this.#drop()?.close(CLOSE.normal);
    this.#end('session-lost', detail);
  }

  #end(reason: EndReason, detail: string): void {
    this.#phase = 'ended';
    this.#cancelTimer();
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.emit('ended', { reason, detail });
  }

  #drop(): Socket | null {
    const socket = this.#socket;
    this.#socket = null;
    this.#cancelTimer();
    if (socket) socket.onclose = socket.onmessage = socket.onopen = null;
    return socket;
  }

  #timer(ms: number, callback: () => void): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(ms, callback);
  }
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}
