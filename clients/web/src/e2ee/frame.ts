// How an encoded frame is laid out once it is encrypted.
//
// In every layout the encrypted part is one plain RFC 9605 ciphertext (header, payload, tag; written `S(…)` below) at a
// place that the receiver finds from clear bytes alone. What stays clear is what packetizers and the focus must read;
// it is authenticated as SFrame metadata, so nobody on the way can change it unseen.
//
//   Opus   TOC byte | S(rest)
//   VP8    key frame:   10 bytes (frame tag, start code, size) | S(rest)
//          delta frame:  3 bytes (frame tag)                   | S(rest)
//          Bit 0 of the first byte tells which (0 = key frame, RFC 6386 §9.1).
//   VP9    S(whole frame): the packetizer takes all it needs from the encoder, not from the bytes.
//   H264   Annex B up to and with the first 3 bytes of the first slice NALU (types 1 and 5) | escape(S(rest) 0x80)
//          `escape` inserts emulation prevention bytes, so that no start code appears; the final 0x80 keeps the NALU
//          from ending in zeros, which a packetizer may strip. Further slices of the frame are part of `rest`.
//          Three bytes (NALU header, then first_mb, slice_type, pps_id), because a receiving browser reads the pps_id.
//   AV1    a sequence of OBUs. Payload of frame headers, tile groups and frames (types 3, 4, 6, 7): S(payload), each with
//          its own counter. Other OBUs stay clear. All sizes are written anew.
//
// H264 and AV1 are taken apart and put together again by RTP packetizers, which may change start code lengths, drop
// temporal delimiters and rewrite OBU sizes. Their metadata is therefore a normal form of the clear parts
// (`h264.ts`, `av1.ts`) instead of the bytes themselves.

import { openAv1, sealAv1 } from './av1.ts';
import { openH264, sealH264 } from './h264.ts';
import { concat, type Bytes } from './sframe.ts';

export type Codec = 'opus' | 'vp8' | 'vp9' | 'h264' | 'av1';

/** Turns plaintext into an SFrame ciphertext. */
export type Seal = (metadata: Uint8Array, plaintext: Bytes) => Promise<Bytes>;
/** Turns an SFrame ciphertext into plaintext, or throws. */
export type Open = (metadata: Uint8Array, ciphertext: Bytes) => Promise<Bytes>;

/** The frame is not of the shape that its codec asks for. */
export class MalformedFrame extends Error {
  override readonly name = 'MalformedFrame';
}

const VP8_KEY_FRAME_CLEAR = 10;
const VP8_DELTA_FRAME_CLEAR = 3;

/** `video/VP8` → `vp8`; `null` for codecs that we know no layout of: their frames are never sent or played. */
export function codecOf(mimeType: string): Codec | null {
  const name = mimeType.slice(mimeType.indexOf('/') + 1).toLowerCase();
  return name === 'opus' || name === 'vp8' || name === 'vp9' || name === 'h264' || name === 'av1' ? name : null;
}

/** Bytes that stay clear in the codecs with a plain prefix. */
function clearPrefix(codec: 'opus' | 'vp8' | 'vp9', frame: Uint8Array): number {
  const first = frame[0];
  if (first === undefined) throw new MalformedFrame('empty frame');
  if (codec === 'vp9') return 0;
  if (codec === 'opus') return 1;
  const length = (first & 1) === 0 ? VP8_KEY_FRAME_CLEAR : VP8_DELTA_FRAME_CLEAR;
  if (frame.length < length) throw new MalformedFrame('VP8 frame shorter than its header');
  return length;
}

export async function sealFrame(codec: Codec, frame: Bytes, seal: Seal): Promise<Bytes> {
  if (codec === 'h264') return sealH264(frame, seal);
  if (codec === 'av1') return sealAv1(frame, seal);
  const clear = frame.subarray(0, clearPrefix(codec, frame));
  return concat(clear, await seal(clear, frame.subarray(clear.length)));
}

export async function openFrame(codec: Codec, frame: Bytes, open: Open): Promise<Bytes> {
  if (codec === 'h264') return openH264(frame, open);
  if (codec === 'av1') return openAv1(frame, open);
  const clear = frame.subarray(0, clearPrefix(codec, frame));
  return concat(clear, await open(clear, frame.subarray(clear.length)));
}
