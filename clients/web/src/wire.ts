// The messages of `rust-sfu.v1`, as `crates/focus-signaling/src/wire.rs` defines them. The golden JSON files next to
// that file are read by the Rust tests and by ours. Fields that we do not know are ignored, so are whole messages of an
// unknown type: a later minor version may add some.

import { boolean, count, Invalid, list, object, oneOf, optional, string, type Check, type TypeOf } from './validate.ts';

/** WebSocket subprotocol. */
export const SUBPROTOCOL = 'rust-sfu.v1';
/** Value of `v` in `hello` and `welcome`. */
export const VERSION = 1;

const source = oneOf('microphone', 'camera', 'screen', 'screen_audio');
const kind = oneOf('audio', 'video');
const pause = oneOf('muted', 'no_source', 'bandwidth', 'off');
const score = oneOf('good', 'fair', 'poor', 'lost');
const delegation = oneOf('held', 'returned', 'sent', 'lost');
const leaveReason = oneOf('left', 'lost', 'replaced', 'removed');

const encryption = object({ format: string, key_index: count });
const keySalt = object({ index: count, salt: string });
const resume = object({ session: string, secret: string });
const publishedTrack = object({
  mid: string,
  source,
  muted: boolean,
  enc: optional(encryption),
  width: optional(count),
  height: optional(count),
});
const want = object({
  track: string,
  mid: optional(string),
  width: optional(count),
  height: optional(count),
  fps: optional(count),
  off: optional(boolean),
});
const track = object({
  track: string,
  kind,
  source,
  muted: boolean,
  enc: optional(encryption),
  width: optional(count),
  height: optional(count),
});
const participant = object({ id: string, identity: optional(string), name: string, keys: optional(list(keySalt)), tracks: list(track) });
const subscription = object({ track: string, mid: string, rid: optional(string), paused: optional(pause) });
const limits = object({ message_bytes: count, messages_per_second: count, published_tracks: count, m_lines: count });
const mute = object({ track: string, muted: boolean });
const candidate = object({ candidate: string });
const ping = object({ n: count });
const leave = object({ code: string, reason: optional(string) });

const joined = object({ event: oneOf('joined', 'updated'), participant });
const left = object({ event: oneOf('left'), id: string, reason: leaveReason });
const participantEvent: Check<TypeOf<typeof joined> | TypeOf<typeof left>> = (value, path) => {
  const event = (value as { event?: unknown } | null)?.event;
  return event === 'left' ? left(value, path) : joined(value, path);
};

const clientBodies = {
  hello: object({ v: count, token: optional(string), resume: optional(resume), client: optional(string) }),
  offer: object({ sdp: string, seq: count, tracks: list(publishedTrack) }),
  candidate,
  subscribe: object({ tracks: list(want) }),
  mute,
  announce: object({ keys: list(keySalt), key_index: count }),
  keyframe: object({ track: string }),
  delegate_leave: object({ delay_id: string, delay_ms: count, server_name: string, on_leave: optional(boolean) }),
  take_back_leave: object({}),
  ping,
  leave,
};

const serverBodies = {
  welcome: object({
    v: count,
    session: string,
    secret: string,
    participant: string,
    identity: optional(string),
    focus: string,
    resumed: boolean,
    ping_ms: count,
    resume_ms: count,
    limits,
    participants: list(participant),
  }),
  answer: object({ sdp: string, seq: count, tracks: list(object({ mid: string, track: string })) }),
  candidate,
  participant: participantEvent,
  subscribed: object({ tracks: list(subscription) }),
  mute,
  speakers: object({ speakers: list(object({ participant: string, level: count })) }),
  quality: object({ participants: list(object({ participant: string, score })) }),
  delegated: object({ state: delegation }),
  pong: ping,
  move: object({ url: optional(string), after_ms: count, deadline_ms: count }),
  leave,
  error: object({ errcode: string, error: string, retry_after_ms: optional(count) }),
};

type Messages<B extends Record<string, Check<unknown>>> = {
  [T in keyof B & string]: { t: T; id?: number; re?: number; b: TypeOf<B[T]> };
}[keyof B & string];

export type ClientMessage = Messages<typeof clientBodies>;
export type ServerMessage = Messages<typeof serverBodies>;
export type ClientBody<T extends ClientMessage['t']> = Extract<ClientMessage, { t: T }>['b'];
export type ServerBody<T extends ServerMessage['t']> = Extract<ServerMessage, { t: T }>['b'];

export type Source = TypeOf<typeof source>;
export type Kind = TypeOf<typeof kind>;
export type Pause = TypeOf<typeof pause>;
export type Score = TypeOf<typeof score>;
export type Delegation = TypeOf<typeof delegation>;
export type LeaveReason = TypeOf<typeof leaveReason>;
export type Encryption = TypeOf<typeof encryption>;
export type KeySalt = TypeOf<typeof keySalt>;
export type PublishedTrack = TypeOf<typeof publishedTrack>;
export type Want = TypeOf<typeof want>;
export type Track = TypeOf<typeof track>;
export type Participant = TypeOf<typeof participant>;
export type Subscription = TypeOf<typeof subscription>;
export type Limits = TypeOf<typeof limits>;

function parse(text: string, bodies: Record<string, Check<unknown>>): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Invalid('not JSON');
  }
  const envelope = object({ t: string, id: optional(count), re: optional(count) })(value, 'message');
  // `Object.hasOwn`: a message of type "constructor" must not find one on the prototype.
  const check = Object.hasOwn(bodies, envelope.t) ? bodies[envelope.t] : undefined;
  if (!check) return null;
  return { ...envelope, b: check((value as { b?: unknown }).b, 'b') };
}

/** Reads a message of the focus. `null`: a type that this version does not know. Throws {@link Invalid}. */
export function parseServerMessage(text: string): ServerMessage | null {
  return parse(text, serverBodies) as ServerMessage | null;
}

/** Reads a message of a client; for tests and fake servers. */
export function parseClientMessage(text: string): ClientMessage | null {
  return parse(text, clientBodies) as ClientMessage | null;
}

export function serialize(message: ClientMessage | ServerMessage): string {
  return JSON.stringify(message);
}
