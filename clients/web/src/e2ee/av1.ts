// AV1 in low-overhead form, a sequence of OBUs: see the layout in `frame.ts`.

import { MalformedFrame, type Open, type Seal } from './frame.ts';
import { concat, type Bytes } from './sframe.ts';

const TEMPORAL_DELIMITER = 2;
const TILE_LIST = 8;
const PADDING = 15;
/** RTP packetizers leave these out (AV1 RTP specification §5), so they cannot be authenticated. */
const TRANSIENT = new Set([TEMPORAL_DELIMITER, TILE_LIST, PADDING]);
/** Frame header, tile group, frame, redundant frame header: the picture itself. */
const SEALED = new Set([3, 4, 6, 7]);

const EXTENSION_FLAG = 0x04;
const HAS_SIZE = 0x02;
const TYPE_MASK = 0x78;

interface Obu {
  readonly type: number;
  /** Header byte, and the extension byte if there is one, with the size flag set: how the OBU is written again. */
  readonly header: Uint8Array;
  readonly payload: Bytes;
}

function parseObus(frame: Bytes): Obu[] {
  const obus: Obu[] = [];
  let at = 0;
  while (at < frame.length) {
    const first = frame[at] ?? 0;
    if ((first & 0x80) !== 0) throw new MalformedFrame('AV1 forbidden bit');
    const type = (first & TYPE_MASK) >> 3;
    // The reserved bit is left out of the normal form: it has no meaning, and a packetizer need not keep it.
    const header = [(first & (TYPE_MASK | EXTENSION_FLAG)) | HAS_SIZE];
    at++;
    if ((first & EXTENSION_FLAG) !== 0) {
      const extension = frame[at++];
      if (extension === undefined) throw new MalformedFrame('AV1 extension cut off');
      header.push(extension);
    }
    let size = frame.length - at;
    if ((first & HAS_SIZE) !== 0) {
      const read = parseLeb128(frame, at);
      size = read.value;
      at = read.end;
    }
    if (size > frame.length - at) throw new MalformedFrame('AV1 OBU longer than its frame');
    obus.push({ type, header: Uint8Array.from(header), payload: frame.subarray(at, at + size) });
    at += size;
  }
  return obus;
}

function parseLeb128(bytes: Uint8Array, start: number): { value: number; end: number } {
  let value = 0;
  for (let i = 0; i < 8; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if ((byte & 0x80) === 0) return { value, end: start + i + 1 };
  }
  throw new MalformedFrame('AV1 size field');
}

export function leb128(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return Uint8Array.from(bytes);
}

/**
 * Rewrites the sealed OBUs with `change`. Its metadata is the normal form of all OBUs before (headers, and payloads where
 * they are clear) and the header of this one, so that OBUs can neither change nor move between frames unseen.
 */
async function rewrite(frame: Bytes, change: (metadata: Uint8Array, payload: Bytes) => Promise<Bytes>): Promise<Bytes> {
  const written: Uint8Array[] = [];
  const normal: Uint8Array[] = [];
  let pictures = 0;
  for (const obu of parseObus(frame)) {
    let payload = obu.payload;
    if (!TRANSIENT.has(obu.type)) {
      normal.push(obu.header);
      if (SEALED.has(obu.type)) {
        pictures++;
        payload = await change(concat(...normal), payload);
      } else {
        normal.push(leb128(payload.length), payload);
      }
    }
    written.push(obu.header, leb128(payload.length), payload);
  }
  if (pictures === 0) throw new MalformedFrame('AV1 frame without a picture');
  return concat(...written);
}

export function sealAv1(frame: Bytes, seal: Seal): Promise<Bytes> {
  return rewrite(frame, seal);
}

export function openAv1(frame: Bytes, open: Open): Promise<Bytes> {
  return rewrite(frame, open);
}
