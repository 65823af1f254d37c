import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { encodeHeader, parseHeader } from '../../src/e2ee/header.ts';
import { deriveKey, deriveRaw, nonce, open, ratchet, seal } from '../../src/e2ee/sframe.ts';
import { hex, toHex } from './helpers.ts';
import vectors from './vectors.json' with { type: 'json' };

test('RFC 9605 C.1: headers', () => {
  assert.ok(vectors.header.length > 60);
  for (const [kid, ctr, encoded] of vectors.header as [string, string, string][]) {
    assert.equal(toHex(encodeHeader(BigInt(kid), BigInt(ctr))), encoded);
    assert.deepEqual(parseHeader(hex(encoded)), { kid: BigInt(kid), ctr: BigInt(ctr), length: encoded.length / 2 });
  }
});

test('a header that is cut off is none', () => {
  for (const [, , encoded] of vectors.header as [string, string, string][]) {
    for (let length = 0; length < encoded.length / 2; length++) assert.equal(parseHeader(hex(encoded).subarray(0, length)), null);
  }
});

const v = vectors.sframe;

test('RFC 9605 C.3, suite 4: key derivation', async () => {
  const { key, salt } = await deriveRaw(hex(v.base_key), BigInt(v.kid));
  assert.equal(toHex(key), v.sframe_key);
  assert.equal(toHex(salt), v.sframe_salt);
  // The intermediate values of the vector, through Node's own HMAC: HKDF-Extract and one block of HKDF-Expand.
  const secret = createHmac('sha256', Buffer.alloc(32)).update(hex(v.base_key)).digest();
  assert.equal(secret.toString('hex'), v.sframe_secret);
  const block = createHmac('sha256', secret).update(hex(v.sframe_key_label)).update(Uint8Array.of(1)).digest();
  assert.equal(block.subarray(0, 16).toString('hex'), v.sframe_key);
});

test('RFC 9605 C.3, suite 4: nonce, sealing, opening', async () => {
  const key = await deriveKey(hex(v.base_key), BigInt(v.kid));
  assert.equal(toHex(nonce(hex(v.sframe_salt), BigInt(v.ctr))), v.nonce);
  const sealed = await seal(key, BigInt(v.ctr), hex(v.metadata), hex(v.pt));
  assert.equal(toHex(sealed), v.ct);
  const header = parseHeader(hex(v.ct));
  assert.ok(header);
  const opened = await open(key, header, hex(v.metadata), hex(v.ct));
  assert.equal(opened && toHex(opened), v.pt);
});

test('whatever bit of ciphertext or metadata changes, it does not open', async () => {
  const key = await deriveKey(hex(v.base_key), BigInt(v.kid));
  for (let at = 0; at < v.ct.length / 2; at++) {
    const changed = hex(v.ct);
    changed[at] = (changed[at] ?? 0) ^ 1;
    const header = parseHeader(changed);
    if (header) assert.equal(await open(key, header, hex(v.metadata), changed), null, `byte ${at}`);
  }
  const header = parseHeader(hex(v.ct));
  assert.ok(header);
  const metadata = hex(v.metadata);
  metadata[0] = 0;
  assert.equal(await open(key, header, metadata, hex(v.ct)), null);
  assert.equal(await open(key, header, hex(v.metadata), hex(v.ct).subarray(0, header.length + 15)), null);
});

test('RFC 9605 §5.1: the ratchet is HKDF with the label of the RFC', async () => {
  const base = hex(v.base_key);
  const secret = createHmac('sha256', Buffer.alloc(32)).update(base).digest();
  const expected = createHmac('sha256', secret).update('SFrame 1.0 Ratchet').update(Uint8Array.of(1)).digest('hex');
  assert.equal(toHex(await ratchet(base)), expected);
});
