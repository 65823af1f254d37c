// A link to a focus's device, as a socket: what opens the data channel goes this way, and nothing else.

import type { Clock } from '../clock.ts';
import { CLOSE, type Narrow, type Socket } from '../socket.ts';
import { EVENT_TYPE, MESSAGE_BYTES_MAX, parseContent, type Claims, type Content } from './content.ts';
import { GIVE_UP_MS, Link } from './link.ts';

/** A way to one device and back. What it does not deliver is sent again by the link. */
export interface Post {
  /** Encrypts it for exactly that device. */
  send(type: string, content: Content): void;
  /** Only what was encrypted by that very device. */
  onMessage(listener: (type: string, content: unknown) => void): () => void;
}

export interface LinkSocketOptions {
  readonly clock: Clock;
  readonly post: Post;
  readonly claims: Claims;
  /** Random, of at most 32 bytes, never used before. */
  readonly session: string;
}

/** The dialect's messages that a focus takes this way. */
const NARROW: Narrow = {
  types: new Set(['hello', 'offer', 'candidate', 'ping', 'leave']),
  bytes: MESSAGE_BYTES_MAX,
  // One that is lost is sent again for so long.
  welcomeMs: GIVE_UP_MS,
};
/** As of a connection that was lost without a word (RFC 6455 §7.4.1). */
const LOST = 1006;

export class LinkSocket implements Socket {
  readonly narrow = NARROW;
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  readonly #clock: Clock;
  readonly #link: Link;
  readonly #stop: () => void;
  #isReleased = false;

  constructor({ clock, post, claims, session }: LinkSocketOptions) {
    this.#clock = clock;
    this.#link = new Link({
      clock,
      claims,
      session,
      transmit: (content) => post.send(EVENT_TYPE, content),
      message: (m) => this.onmessage?.({ data: JSON.stringify(m) }),
      ended: (how) => {
        this.release();
        this.onclose?.(how.by === 'close' ? { code: how.code, reason: 'the link was closed' } : { code: LOST, reason: 'the device does not answer' });
      },
    });
    this.#stop = post.onMessage((type, value) => {
      if (type !== EVENT_TYPE) return;
      const content = parseContent(value);
      if (typeof content !== 'string') this.#link.handle(content);
    });
    // There is nothing to wait for: the first message is what finds out whether anybody is there.
    queueMicrotask(() => this.onopen?.(undefined as never));
  }

  send(text: string): void {
    const result = this.#link.send(JSON.parse(text));
    // As good as silent: the session is taken up over another link.
    if (result === 'too-large' || result === 'full') this.onclose?.({ code: LOST, reason: `link: ${result}` });
  }

  close(code: number = CLOSE.normal): void {
    this.#link.close(code);
    this.release();
  }

  /** The focus has yet to hear that its last words came, and we, that ours did. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#clock.after(GIVE_UP_MS, () => {
      this.#link.abandon();
      this.#stop();
    });
  }
}
