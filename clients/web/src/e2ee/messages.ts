// What the page and the encryption worker tell each other.

import type { KeySalt } from '../wire.ts';

/**
 * How a received track stands: `ok` only once frames were really opened; `off` = the sender announced it as not encrypted;
 * `missing-key` = the sender announced no such key, or we have no secret; `failed` = the key does not open the frames.
 */
export type EncryptionState = 'ok' | 'missing-key' | 'failed' | 'off';

/** `options` of an `RTCRtpScriptTransform`. */
export type TransformRole = { readonly side: 'send'; readonly name: string } | { readonly side: 'receive'; readonly slot: string };

/** What a receive slot carries. A slot without an expectation plays nothing. */
export interface Expectation {
  readonly participant: string;
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
  | { readonly type: 'codecs'; readonly byPayloadType: ReadonlyMap<number, string> }
  | { readonly type: 'expect'; readonly slot: string; readonly expectation: Expectation | null };

export type FromWorker =
  | { readonly type: 'state'; readonly slot: string; readonly track: string; readonly state: EncryptionState }
  /** `keyFrames`: the worker can ask the encoders for key frames; else the page must. */
  | { readonly type: 'key-in-use'; readonly index: number; readonly keyFrames: boolean }
  | { readonly type: 'error'; readonly message: string }
  | { readonly type: 'counters'; readonly sealed: number; readonly opened: number; readonly dropped: number };
