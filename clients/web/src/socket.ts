// What carries the messages of one session: a WebSocket, or what stands in for one.

import type { ClientMessage } from './wire.ts';

/** The part of `WebSocket` that is used here. */
export interface Socket {
  /** Absent: it carries every message. */
  readonly narrow?: Narrow;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  /** The session goes on elsewhere: nobody listens any more, and the focus closes it. */
  release?(): void;
}

/** What does not go this way is told again when the session goes on over another. */
export interface Narrow {
  readonly types: ReadonlySet<ClientMessage['t']>;
  /** Of one message. */
  readonly bytes: number;
  /** How long a `welcome` may take. */
  readonly welcomeMs: number;
}

export const CLOSE = {
  normal: 1000,
  protocol: 4400,
  badToken: 4401,
  forbidden: 4403,
  timeout: 4408,
  replaced: 4409,
  tooLarge: 4413,
  limited: 4429,
  draining: 4503,
} as const;
