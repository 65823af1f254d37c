// The way of a session without a socket: a link to the focus's device until the data channel is open, then the channel, and a link
// again when the channel is lost. It decides when to change over; what is said on either is for others to know.

import type { Clock } from '../clock.ts';
import type { Socket } from '../socket.ts';
import { ChannelSocket, type Channel } from './channel-socket.ts';

/** The peer connection that holds the channel. */
export interface Path {
  readonly channel: Channel;
  /** Media, and so the channel, get through now. */
  readonly isConnected: boolean;
  /** No offer waits for its answer: the focus takes none twice, and the one that restarts ICE must not be lost. */
  readonly isSettled: boolean;
}

export interface CarriageOptions {
  readonly clock: Clock;
  /** Begins another link. */
  readonly openLink: () => Socket;
  /** The session shall go on over this. */
  readonly move: (open: () => Socket) => void;
  /** The session is up, and over a link. */
  readonly isOnLink: () => boolean;
  /** This peer connection comes to nothing: all begins anew. */
  readonly failed: (detail: string) => void;
}

/** For ICE, DTLS and SCTP, after the focus has let us in. */
export const CHANNEL_MS = 15_000;
/** A path that ICE thinks well of, and over which the focus is not heard. */
const MOVES_MAX = 2;

export class Carriage {
  readonly #options: CarriageOptions;
  #path: Path | null = null;
  /** Since the session was last up over the channel. */
  #moves = 0;
  #cancel: () => void = () => undefined;

  constructor(options: CarriageOptions) {
    this.#options = options;
  }

  /** Whenever a session is to begin, or lost the way it had. */
  connect(): Socket {
    this.#cancel();
    return this.#options.openLink();
  }

  /** The link is up. From now on the channel of this one is waited for. */
  linked(path: Path): void {
    this.#path = path;
    this.#cancel();
    this.#cancel = this.#options.clock.after(CHANNEL_MS, () => this.#fail('the data channel does not open'));
    this.check();
  }

  /** The session is up over the channel. */
  moved(): void {
    this.#moves = 0;
    this.#cancel();
  }

  /** Something changed on the path: goes over to the channel if that will do now. */
  check(): void {
    const path = this.#path;
    // Firefox closes it for good when a restart of ICE did not get through, and says nothing else of that.
    if (path && isClosed(path.channel) && this.#options.isOnLink()) return this.#fail('the data channel is closed');
    if (!path?.isConnected || !path.isSettled || path.channel.readyState !== 'open' || !this.#options.isOnLink()) return;
    this.#cancel();
    if (++this.#moves > MOVES_MAX) return this.#fail('the data channel carries nothing');
    this.#options.move(() => new ChannelSocket(path.channel));
  }

  close(): void {
    this.#path = null;
    this.#cancel();
  }

  #fail(detail: string): void {
    this.close();
    this.#options.failed(detail);
  }
}

function isClosed({ readyState }: Channel): boolean {
  return readyState === 'closing' || readyState === 'closed';
}
