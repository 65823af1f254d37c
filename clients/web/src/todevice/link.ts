// An ordered stream of messages over events that may be lost, repeated, late, or overtaken: `focus-signaling::todevice::link` in
// TypeScript. Both ends are the same. Each message has a number and is sent again until it is acknowledged; what comes is passed on
// in order, once. Each end names the link by an id of its own, so that an end that lost its memory, and events of another link, are noticed.

import type { Clock } from '../clock.ts';
import { bytesOf, CONTENT_BYTES_MAX, type Claims, type Content } from './content.ts';

/** Messages that were not acknowledged, and messages that came before an earlier one. A join makes four. */
export const WINDOW = 16;
/** A message is sent again after these times since it was sent last. */
const RETRANSMIT_MS: readonly number[] = [1_000, 2_000, 4_000, 4_000];
/** A message that was not acknowledged for so long is given up, and the link with it. */
export const GIVE_UP_MS = 15_000;
/** An acknowledgement waits so long for a message that can carry it. */
export const ACK_DELAY_MS = 250;
/** What a content has beside its message: three words, two sessions, two numbers and their names. */
const CONTENT_OVERHEAD_MAX = 1200;

/** How a link ended: the other side said so, or does not answer. */
export type LinkEnd = { readonly by: 'close'; readonly code: number } | { readonly by: 'silence' };
export type SendResult = 'sent' | 'ended' | 'too-large' | 'full';

export interface LinkOptions {
  readonly clock: Clock;
  readonly claims: Claims;
  /** This end's id of the link: random, never used before. */
  readonly session: string;
  /** The other's, if that spoke first. */
  readonly theirs?: string;
  readonly transmit: (content: Content) => void;
  readonly message: (m: unknown) => void;
  readonly ended: (how: LinkEnd) => void;
}

type Body = { readonly m: unknown } | { readonly close: number };

interface Sent {
  readonly seq: number;
  readonly body: Body;
  readonly first: number;
  /** When it is sent again; `null`: not any more. */
  again: number | null;
  times: number;
}

export class Link {
  readonly #options: LinkOptions;
  /** This end spoke first, so that the other side knows its id from the start. */
  readonly #isFirst: boolean;
  #theirs: string | undefined;
  #nextSeq = 1;
  #unacknowledged: Sent[] = [];
  /** All up to this one were passed on. */
  #delivered = 0;
  /** Came before an earlier one. */
  readonly #early = new Map<number, Body>();
  #ackAt: number | null = null;
  #ended = false;
  #cancelTimer: () => void = () => undefined;
  /** Events that fit nothing: of another link, far ahead, or repeated. */
  ignored = 0;
  resent = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#theirs = options.theirs;
    this.#isFirst = options.theirs === undefined;
  }

  /** Nothing is on its way any more, after the end. */
  get isOver(): boolean {
    return this.#ended && this.#unacknowledged.length === 0 && this.#ackAt === null;
  }

  /** An event of the other side's device. */
  handle(content: Content): void {
    this.#read(content);
    this.#schedule();
  }

  /** Sends a message of the dialect. */
  send(m: unknown): SendResult {
    if (bytesOf(JSON.stringify(m)) + CONTENT_OVERHEAD_MAX > CONTENT_BYTES_MAX) return 'too-large';
    return this.#push({ m });
  }

  /** Ends the link; what was sent before still arrives before that. A link that is full ends by silence. */
  close(code: number): void {
    this.#push({ close: code });
    this.#ended = true;
  }

  /** Ends it without a word to anybody. */
  abandon(): void {
    this.#ended = true;
    this.#unacknowledged = [];
    this.#ackAt = null;
    this.#cancelTimer();
  }

  #read(content: Content): void {
    const { claims, session } = this.#options;
    const { dest_session: to, seq, ack, m, close } = content;
    // Who knows nothing of this link says so under an id that this end cannot know.
    if (seq === undefined && to === session && close !== undefined) return this.#end({ by: 'close', code: close });
    const isFromThem = this.#theirs === undefined || this.#theirs === content.session;
    const isAbout = content.room_id === claims.room_id && content.slot_id === claims.slot_id && content.member_id === claims.member_id;
    // Only the side that began the link may not know the other's id yet.
    if (!isFromThem || !isAbout || (to === undefined ? this.#isFirst : to !== session)) {
      this.ignored++;
      return;
    }
    this.#theirs ??= content.session;
    if (ack !== undefined && ack < this.#nextSeq) this.#unacknowledged = this.#unacknowledged.filter((sent) => sent.seq > ack);
    if (seq === undefined) return;
    this.#take(seq, m === undefined ? { close: close ?? 0 } : { m });
  }

  #take(seq: number, body: Body): void {
    if (seq > this.#delivered + WINDOW) {
      this.ignored++;
      return;
    }
    // Also when it is known: the acknowledgement was lost.
    this.#ackAt ??= this.#options.clock.now() + ACK_DELAY_MS;
    if (seq <= this.#delivered || this.#early.has(seq)) this.ignored++;
    else this.#early.set(seq, body);
    for (let next = this.#early.get(this.#delivered + 1); next; next = this.#early.get(this.#delivered + 1)) {
      this.#early.delete(++this.#delivered);
      if (this.#ended) continue;
      if ('m' in next) this.#options.message(next.m);
      else this.#end({ by: 'close', code: next.close });
    }
  }

  #push(body: Body): SendResult {
    if (this.#ended) return 'ended';
    if (this.#unacknowledged.length >= WINDOW) return 'full';
    const now = this.#options.clock.now();
    const sent: Sent = { seq: this.#nextSeq++, body, first: now, again: now + (RETRANSMIT_MS[0] ?? 0), times: 0 };
    this.#unacknowledged.push(sent);
    this.#transmit(sent);
    this.#schedule();
    return 'sent';
  }

  #transmit(sent: Sent | null): void {
    this.#ackAt = null;
    const { claims, session, transmit } = this.#options;
    transmit({
      ...claims,
      session,
      ...(this.#theirs === undefined ? {} : { dest_session: this.#theirs }),
      ...(sent ? { seq: sent.seq } : {}),
      ...(this.#delivered > 0 ? { ack: this.#delivered } : {}),
      ...sent?.body,
    });
  }

  #end(how: LinkEnd): void {
    this.#early.clear();
    // Whoever closed does not listen any more; who is silent is not spoken to.
    this.#unacknowledged = [];
    if (this.#ended) return;
    this.#ended = true;
    this.#options.ended(how);
  }

  #due(): void {
    const now = this.#options.clock.now();
    const [oldest] = this.#unacknowledged;
    if (oldest && oldest.first + GIVE_UP_MS <= now) this.#end({ by: 'silence' });
    for (const sent of this.#unacknowledged) {
      if (sent.again === null || sent.again > now) continue;
      const wait = RETRANSMIT_MS[++sent.times];
      sent.again = wait === undefined ? null : now + wait;
      this.resent++;
      this.#transmit(sent);
    }
    if (this.#ackAt !== null && this.#ackAt <= now) this.#transmit(null);
    this.#schedule();
  }

  #schedule(): void {
    this.#cancelTimer();
    this.#cancelTimer = () => undefined;
    const [oldest] = this.#unacknowledged;
    const times = this.#unacknowledged.map(({ again }) => again);
    const at = [oldest ? oldest.first + GIVE_UP_MS : null, ...times, this.#ackAt].filter((time) => time !== null);
    if (at.length === 0) return;
    const { clock } = this.#options;
    this.#cancelTimer = clock.after(Math.max(0, Math.min(...at) - clock.now()), () => this.#due());
  }
}
