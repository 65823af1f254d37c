// What the page and the encryption worker tell each other.

import type { KeySalt } from '../wire.ts';
import type { Bytes } from './sframe.ts';

/**
 * How a received track stands: `ok` only once frames were really opened; `off` = the sender announced it as not encrypted;
 * `missing-key` = the sender announced no such key, or we have no secret; `failed` = the key does not open the frames.
 */
export type EncryptionState = 'ok' | 'missing-key' | 'failed' | 'off';

/**
 * `options` of an `RTCRtpScriptTransform`. `scope` names the peer connection: payload types mean something only within
 * one, and several may share a worker. The name of a slot is unique in the worker.
 */
export type TransformRole =
  | { readonly side: 'send'; readonly scope: string; readonly name: string }
  | { readonly side: 'receive'; readonly scope: string; readonly slot: string };

/** What a receive slot carries. A slot without an expectation plays nothing. */
export interface Expectation {
  /** Whose keys open it: a participant's id, or with member keys its identity. */
  readonly owner: string;
  readonly track: string;
  readonly encrypted: boolean;
}

export type ToWorker =
  | { readonly type: 'secret'; readonly secret: Uint8Array<ArrayBuffer>; readonly ratchetBits: number }
  | { readonly type: 'prepare-key'; readonly index: number; readonly salt: string }
  | { readonly type: 'use-key'; readonly index: number }
  /** After `key-in-use`, when that said that the worker can. */
  | { readonly type: 'key-frames' }
  | { readonly type: 'ratchet' }
  | { readonly type: 'peer-keys'; readonly participant: string; readonly keys: readonly KeySalt[] }
  | { readonly type: 'peer-gone'; readonly participant: string }
  /** Instead of `secret`: everybody has keys of his own, which come by other ways than the focus. */
  | { readonly type: 'member-keys' }
  | { readonly type: 'own-key'; readonly index: number; readonly key: Bytes }
  | { readonly type: 'member-key'; readonly owner: string; readonly index: number; readonly key: Bytes }
  | { readonly type: 'codecs'; readonly scope: string; readonly byPayloadType: ReadonlyMap<number, string> }
  | { readonly type: 'expect'; readonly slot: string; readonly expectation: Expectation | null };

export type FromWorker =
  | { readonly type: 'state'; readonly slot: string; readonly track: string; readonly state: EncryptionState }
  /** `keyFrames`: the worker can ask the encoders for key frames; else the page must. */
  | { readonly type: 'key-in-use'; readonly index: number; readonly keyFrames: boolean }
  | { readonly type: 'error'; readonly message: string }
  | { readonly type: 'counters'; readonly sealed: number; readonly opened: number; readonly dropped: number };
