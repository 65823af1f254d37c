// Signalling by to-device messages: to a focus's own device, encrypted for it alone, and taken from no other.

import { realClock, type Clock } from '../clock.ts';
import type { ByDevice } from '../token.ts';
import type { Claims, Content } from '../todevice/content.ts';
import { LinkSocket, type Post } from '../todevice/link-socket.ts';
import type { Homeserver, Target } from './homeserver.ts';

/** 128 random bits, as base64url. */
const SESSION_BYTES = 16;

export interface PostOptions {
  readonly homeserver: Homeserver;
  readonly focus: Target;
  readonly claims: Claims;
  readonly clock?: Clock;
  readonly newSession?: () => string;
}

/** The focus at that device. Each link asks anew what keys the device has: it may have been set up again since. */
export function byDevice({ homeserver, focus, claims, clock = realClock, newSession = randomSession }: PostOptions): ByDevice {
  return { openLink: () => new LinkSocket({ clock, claims, session: newSession(), post: new DevicePost(homeserver, focus) }) };
}

class DevicePost implements Post {
  readonly #homeserver: Homeserver;
  readonly #focus: Target;
  /** One after the other: a receiver keeps keys of skipped messages only so far. */
  #sending: Promise<void> = Promise.resolve();
  #isLearned = false;

  constructor(homeserver: Homeserver, focus: Target) {
    this.#homeserver = homeserver;
    this.#focus = focus;
  }

  send(type: string, content: Content): void {
    // What does not get out is sent again, like what does not arrive.
    this.#sending = this.#sending.then(() => this.#deliver(type, content)).catch(() => undefined);
  }

  onMessage(listener: (type: string, content: unknown) => void): () => void {
    const { user, device } = this.#focus;
    return this.#homeserver.onToDevice((message) => (message.sender === user && message.device === device ? listener(message.type, message.content) : undefined));
  }

  async #deliver(type: string, content: Content): Promise<void> {
    if (!this.#isLearned) await this.#homeserver.learnDevices(this.#focus.user);
    const missed = await this.#homeserver.sendToDevice(type, [this.#focus], { ...content });
    this.#isLearned = missed.length === 0;
  }
}

function randomSession(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SESSION_BYTES));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}
