// H.264 in Annex B form: see the layout in `frame.ts`.

import { MalformedFrame, type Open, type Seal } from './frame.ts';
import { concat, type Bytes } from './sframe.ts';

const SLICE_CLEAR = 3;
const START_CODE = Uint8Array.of(0, 0, 0, 1);
const STOP = Uint8Array.of(0x80);

interface Prefix {
  /** Bytes of the frame that stay clear. */
  readonly length: number;
  /** Every NALU of the prefix behind a four-byte start code. */
  readonly metadata: Uint8Array;
}

/** Offsets of the NALU header bytes. */
function naluStarts(frame: Uint8Array): number[] {
  const starts: number[] = [];
  for (let i = 0; i + 3 < frame.length; i++) {
    if (frame[i] === 0 && frame[i + 1] === 0 && frame[i + 2] === 1) {
      starts.push(i + 3);
      i += 2;
    }
  }
  return starts;
}

function prefixOf(frame: Uint8Array): Prefix {
  const starts = naluStarts(frame);
  const normal: Uint8Array[] = [];
  for (const [index, start] of starts.entries()) {
    const type = (frame[start] ?? 0) & 0x1f;
    if (type === 1 || type === 5) {
      const length = start + SLICE_CLEAR;
      if (frame.length < length) break;
      normal.push(START_CODE, frame.subarray(start, length));
      return { length, metadata: concat(...normal) };
    }
    let end = (starts[index + 1] ?? frame.length + 3) - 3;
    // The first zero of a four-byte start code, and padding, are not part of the NALU.
    while (end > start && frame[end - 1] === 0) end--;
    normal.push(START_CODE, frame.subarray(start, end));
  }
  throw new MalformedFrame('H.264 frame without a slice');
}

/** Zeros at the end of what comes before `at`: they count for emulation prevention. */
function zerosBefore(frame: Uint8Array, at: number): number {
  let zeros = 0;
  while (zeros < 2 && frame[at - 1 - zeros] === 0) zeros++;
  return zeros;
}

/** Inserts an emulation prevention byte wherever 00 00 would be followed by 00, 01, 02 or 03 (H.264 §7.4.1). */
export function escape(bytes: Uint8Array, zeros: number): Bytes {
  const result = new Uint8Array(bytes.length + Math.floor(bytes.length / 2) + 1);
  let at = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte <= 3) {
      result[at++] = 3;
      zeros = 0;
    }
    result[at++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return result.slice(0, at);
}

export function unescape(bytes: Uint8Array, zeros: number): Bytes {
  const result = new Uint8Array(bytes.length);
  let at = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    result[at++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return result.slice(0, at);
}

export async function sealH264(frame: Bytes, seal: Seal): Promise<Bytes> {
  const { length, metadata } = prefixOf(frame);
  const sealed = concat(await seal(metadata, frame.subarray(length)), STOP);
  return concat(frame.subarray(0, length), escape(sealed, zerosBefore(frame, length)));
}

export async function openH264(frame: Bytes, open: Open): Promise<Bytes> {
  const { length, metadata } = prefixOf(frame);
  const sealed = unescape(frame.subarray(length), zerosBefore(frame, length));
  // Packetizers may add zeros behind a NALU; the stop byte tells where it really ended.
  let end = sealed.length;
  while (end > 0 && sealed[end - 1] === 0) end--;
  if (sealed[end - 1] !== 0x80) throw new MalformedFrame('H.264 frame without the stop byte');
  return concat(frame.subarray(0, length), await open(metadata, sealed.subarray(0, end - 1)));
}
