// The way into the focus: a right to join, a line, and both again whenever a session is lost, for as long as that makes sense. What
// it is for, and what goes over the line, is the call's affair.

import { Backoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import { Emitter } from './emitter.ts';
import { CallError, type CallErrorCode } from './errors.ts';
import { Line } from './line.ts';
import type { EndReason } from './signalling.ts';
import type { Access, ByDevice } from './token.ts';
import type { ServerBody, ServerMessage } from './wire.ts';

export interface EntranceOptions {
  readonly token: () => Promise<Access | ByDevice>;
  /** For the statistics of the focus. */
  readonly client: string;
  readonly clock: Clock;
}

export interface EntranceEvents {
  welcome: ServerBody<'welcome'>;
  message: Exclude<ServerMessage, { t: 'welcome' | 'pong' }>;
  interrupted: undefined;
  /** The session is lost, and a fresh join is on its way. */
  again: undefined;
  failed: CallError;
}

const REJOIN_MS = 5 * 60_000;

export class Entrance extends Emitter<EntranceEvents> {
  readonly #options: EntranceOptions;
  #line: Line | null = null;
  #hasEntered = false;
  #isClosed = false;
  /** By this we were in the call last. An address that did not answer then would cost seconds again. */
  #proven: ByDevice | null = null;
  #backoff: Backoff | null = null;
  #deadline = 0;
  #cancelMove: (() => void) | null = null;

  constructor(options: EntranceOptions) {
    super();
    this.#options = options;
  }

  get line(): Line | null {
    return this.#line;
  }

  async connect(movedTo?: string): Promise<void> {
    let access: Access | ByDevice;
    if (this.#proven) return this.#enter(this.#proven);
    try {
      access = await this.#options.token();
    } catch (error) {
      const known = error instanceof CallError ? error : new CallError('unreachable', String(error));
      this.#tokenFailed(known);
      return;
    }
    if (!this.#isClosed) this.#enter(access, movedTo);
  }

  /** We are in, and the line is wide. */
  entered(): void {
    this.#line?.widened();
    this.#proven = this.#line?.device ?? null;
    this.#backoff = null;
    this.#hasEntered = true;
  }

  /** The focus drains. A fresh join, because the process that follows knows nothing of this session. */
  move({ url, after_ms }: ServerBody<'move'>): void {
    this.#cancelMove?.();
    this.#cancelMove = this.#options.clock.after(after_ms, () => {
      this.#cancelMove = null;
      this.emit('again', undefined);
      const old = this.#line;
      this.#line = null;
      old?.leave('moved');
      void this.connect(url);
    });
  }

  /** Says goodbye. */
  close(): void {
    this.#isClosed = true;
    this.#cancelMove?.();
    const line = this.#line;
    this.#line = null;
    line?.leave();
  }

  #enter(access: Access | ByDevice, movedTo?: string): void {
    const { client, clock } = this.#options;
    const failed = (detail: string): void => (this.#hasEntered ? line.signalling.lose(detail) : this.#fail(new CallError('unreachable', detail)));
    const line = new Line({ access, movedTo, client, clock, failed });
    this.#line = line;
    const { signalling } = line;
    signalling.on('welcome', (welcome) => this.emit('welcome', welcome));
    signalling.on('message', (message) => this.emit('message', message));
    signalling.on('interrupted', () => this.emit('interrupted', undefined));
    signalling.on('ended', ({ reason, detail }) => {
      if (line === this.#line) this.#sessionEnded(reason, detail, line);
    });
    signalling.start();
  }

  #sessionEnded(reason: EndReason, detail: string, { otherwise }: Line): void {
    if (reason === 'unreachable') this.#proven = null;
    if (reason === 'unreachable' && otherwise) return this.#enter(otherwise);
    // Without a token, this is where we are told.
    if (reason === 'removed' && !this.#hasEntered) return this.#fail(new CallError('token-refused', detail));
    if (reason === 'session-lost') return this.#again(detail);
    // The token may have run out while the socket was tried again, or be one of a focus that was replaced meanwhile.
    if ((reason === 'unreachable' || reason === 'token-refused') && this.#hasEntered) return this.#again(detail);
    const codes: Record<Exclude<EndReason, 'session-lost'>, CallErrorCode> = {
      left: 'removed',
      'token-refused': 'token-refused',
      removed: 'removed',
      replaced: 'replaced',
      protocol: 'protocol',
      unreachable: 'unreachable',
    };
    this.#fail(new CallError(codes[reason], detail));
  }

  /** A token for a fresh join was not to be had. */
  #tokenFailed(error: CallError): void {
    if (!this.#hasEntered || error.code !== 'unreachable') this.#fail(error);
    else this.#again(error.message);
  }

  #again(detail: string): void {
    if (this.#isClosed) return;
    this.emit('again', undefined);
    const { clock } = this.#options;
    const now = clock.now();
    if (!this.#backoff) {
      this.#backoff = new Backoff(() => clock.random());
      this.#deadline = now + REJOIN_MS;
    }
    const wait = this.#backoff.next();
    if (now + wait > this.#deadline) this.#fail(new CallError('unreachable', detail));
    else clock.after(wait, () => void (this.#isClosed ? undefined : this.connect()));
  }

  #fail(error: CallError): void {
    if (!this.#isClosed) this.emit('failed', error);
  }
}
