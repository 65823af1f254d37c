// The SFrame header of RFC 9605 §4.3:
//
//    0 1 2 3 4 5 6 7
//   +-+-+-+-+-+-+-+-+----------------+----------------+
//   |X|  K  |Y|  C  |   KID (K+1 B)  |   CTR (C+1 B)  |
//   +-+-+-+-+-+-+-+-+----------------+----------------+
//
// X = 0: K is the key id itself (0–7). X = 1: K + 1 bytes of key id follow. Y and C say the same of the counter.
// `bigint`, because both numbers have 64 bits.

export interface Header {
  readonly kid: bigint;
  readonly ctr: bigint;
  /** Bytes that the header takes. */
  readonly length: number;
}

const MAX = (1n << 64n) - 1n;

function bytesOf(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 0xffn));
  return bytes;
}

export function encodeHeader(kid: bigint, ctr: bigint): Uint8Array<ArrayBuffer> {
  if (kid < 0n || kid > MAX || ctr < 0n || ctr > MAX) throw new RangeError('SFrame numbers have 64 bits');
  const kidBytes = kid < 8n ? [] : bytesOf(kid);
  const ctrBytes = ctr < 8n ? [] : bytesOf(ctr);
  const high = kidBytes.length === 0 ? Number(kid) : 8 | (kidBytes.length - 1);
  const low = ctrBytes.length === 0 ? Number(ctr) : 8 | (ctrBytes.length - 1);
  return Uint8Array.of((high << 4) | low, ...kidBytes, ...ctrBytes);
}

/** `null` when the bytes end before the header does. */
export function parseHeader(bytes: Uint8Array): Header | null {
  const config = bytes[0];
  if (config === undefined) return null;
  let at = 1;
  const number = (nibble: number): bigint | null => {
    if ((nibble & 8) === 0) return BigInt(nibble);
    const length = (nibble & 7) + 1;
    if (at + length > bytes.length) return null;
    let value = 0n;
    for (let i = 0; i < length; i++) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
    at += length;
    return value;
  };
  const kid = number(config >> 4);
  if (kid === null) return null;
  const ctr = number(config & 15);
  return ctr === null ? null : { kid, ctr, length: at };
}
