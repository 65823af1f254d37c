// Opens Opus frames of a Matrix call with a given key: RFC 9605, AES_128_GCM_SHA256_128, the first byte of the frame in clear.
// Written anew for the tests, so that a key which opens nothing here is not a fault that the page shares.

import { createDecipheriv, hkdfSync } from 'node:crypto';

const SUITE = Buffer.from([0x00, 0x04]);
const TAG_BYTES = 16;

/** RFC 9605 §4.3: a config byte, then KID and CTR unless they fit into it. */
function parseHeader(bytes) {
  const config = bytes[0];
  let at = 1;
  const field = (extended, value) => {
    if (!extended) return BigInt(value);
    const length = value + 1;
    at += length;
    return BigInt(`0x${bytes.subarray(at - length, at).toString('hex') || '0'}`);
  };
  const kid = field((config >> 7) & 1, (config >> 4) & 7);
  const ctr = field((config >> 3) & 1, config & 7);
  return { kid, ctr, header: bytes.subarray(0, at), rest: bytes.subarray(at) };
}

const uint = (value, length) => Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex');

/** HKDF-Extract without a salt and then Expand is what `hkdfSync` does with an empty salt. */
function derive(base, kid) {
  const part = (label, length) => Buffer.from(hkdfSync('sha256', base, Buffer.alloc(0), Buffer.concat([Buffer.from(`SFrame 1.0 Secret ${label} `), uint(kid, 8), SUITE]), length));
  return { key: part('key', 16), salt: part('salt', 12) };
}

/** Whether `base` (16 or 32 bytes) with this index opens an Opus frame as the focus forwarded it. */
export function opens(frame, { index, key: base }, clear = 1) {
  const { kid, ctr, header, rest } = parseHeader(frame.subarray(clear));
  if (kid !== BigInt(index) || rest.length < TAG_BYTES) return false;
  const { key, salt } = derive(base, kid);
  const counter = uint(ctr, 12);
  const decipher = createDecipheriv('aes-128-gcm', key, salt.map((byte, at) => byte ^ counter[at]));
  decipher.setAAD(Buffer.concat([header, frame.subarray(0, clear)]));
  decipher.setAuthTag(rest.subarray(-TAG_BYTES));
  try {
    decipher.update(rest.subarray(0, -TAG_BYTES));
    decipher.final();
    return true;
  } catch {
    return false;
  }
}
