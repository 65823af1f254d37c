// What the session logic needs of Matrix. `sdk.ts` fills it with matrix-js-sdk; tests fill it with a few maps.

import type { Json } from './json.ts';

/** An event as the homeserver sent it, decrypted if it was encrypted. */
export interface RawEvent {
  readonly type: string;
  readonly sender: string;
  readonly content: Json;
  readonly originServerTs: number;
  readonly eventId: string;
  readonly stateKey?: string;
  /** MSC4354: until when it is in force. */
  readonly stickyUntil?: number;
  /** It came without its content. */
  readonly redacted?: boolean;
  /** The device that encrypted it, if it was. */
  readonly senderDevice?: string;
}

/** A to-device message that came encrypted with Olm. What comes in clear is dropped before it gets here. */
export interface ToDevice {
  readonly type: string;
  readonly sender: string;
  /** Proven: the device whose key the message was encrypted with. */
  readonly device: string;
  readonly content: Json;
}

export class HomeserverError extends Error {
  override readonly name = 'HomeserverError';
  /** 0: no answer at all. */
  readonly status: number;
  readonly errcode: string;
  readonly retryAfterMs: number | null;
  readonly body: Json;

  constructor(status: number, errcode: string, message: string, retryAfterMs: number | null = null, body: Json = {}) {
    super(message);
    this.status = status;
    this.errcode = errcode;
    this.retryAfterMs = retryAfterMs;
    this.body = body;
  }

  /** The homeserver does not know this endpoint; something else may serve. */
  get unsupported(): boolean {
    return this.errcode === 'M_UNRECOGNIZED' || (this.status === 404 && this.errcode !== 'M_NOT_FOUND') || this.status === 405;
  }
}

export interface Target {
  readonly user: string;
  readonly device: string;
}

export interface SentSticky {
  readonly eventId: string;
  /** Devices that it was encrypted for, as far as can be known; `null`: all can read it, it is in clear. */
  readonly readers: readonly Target[] | null;
}

export interface Homeserver {
  readonly user: string;
  readonly device: string;
  readonly serverName: string;
  /** With the access token of the user. `path` begins with `/_matrix/`. Throws {@link HomeserverError}. */
  request(method: 'GET' | 'POST' | 'PUT', path: string, body?: Json, query?: Readonly<Record<string, string>>): Promise<Json>;
  /**
   * Sends an Olm-encrypted message to each device. Returns those for which there is no Olm session, or none can be made: one such
   * device costs the others nothing. Of the rest there is no telling whether it arrived.
   */
  sendToDevice(type: string, targets: readonly Target[], content: Json): Promise<readonly Target[]>;
  onToDevice(listener: (message: ToDevice) => void): () => void;
  /** Asks for the devices of a user who shares no room with us: else there is nothing to encrypt for. */
  learnDevices(user: string): Promise<void>;
}

export interface Room {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  joinedUsers(): string[];
  state(type: string): readonly RawEvent[];
  sticky(type: string): readonly RawEvent[];
  isJoined(user: string): boolean;
  displayName(user: string): string;
  /** State, sticky events or members changed. */
  onChange(listener: () => void): () => void;
  /** New events in the timeline, also those that were sent by us; the past only where `history` asks for it. */
  onTimeline(listener: (event: RawEvent) => void): () => void;
  /** `at`: when it was redacted, as the homeserver of whoever did it says. */
  onRedaction(listener: (eventId: string, at: number) => void): () => void;
  /** Encrypted where the room is. Returns the event's id. */
  send(type: string, content: Json): Promise<string>;
  /** As a sticky event (MSC4354), which stays for `durationMs`. */
  sendSticky(type: string, content: Json, durationMs: number): Promise<SentSticky>;
  redact(eventId: string): Promise<void>;
}

export type Trust =
  /** We have verified the user, and the user has signed the device. */
  | 'verified'
  /** The user has signed the device; whether the user is who he says, we have not checked. */
  | 'signed'
  | 'unsigned'
  /** The device is not known to its homeserver. */
  | 'unknown';
