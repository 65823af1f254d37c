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
  #sending: Promise<unknown>;

  constructor(homeserver: Homeserver, focus: Target) {
    this.#homeserver = homeserver;
    this.#focus = focus;
    this.#sending = homeserver.learnDevices(focus.user);
  }

  send(type: string, content: Content): void {
    // What does not arrive is sent again.
    this.#sending = this.#sending.catch(() => undefined).then(() => this.#homeserver.sendToDevice(type, [this.#focus], { ...content }));
    this.#sending.catch(() => undefined);
  }

  onMessage(listener: (type: string, content: unknown) => void): () => void {
    const { user, device } = this.#focus;
    return this.#homeserver.onToDevice((message) => (message.sender === user && message.device === device ? listener(message.type, message.content) : undefined));
  }
}

function randomSession(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SESSION_BYTES));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}
