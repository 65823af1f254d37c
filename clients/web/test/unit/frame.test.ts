import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codecOf, MalformedFrame, openFrame, sealFrame, type Codec } from '../../src/e2ee/frame.ts';
import { leb128 } from '../../src/e2ee/av1.ts';
import { escape, unescape } from '../../src/e2ee/h264.ts';
import { encodeHeader, parseHeader } from '../../src/e2ee/header.ts';
import { concat, deriveKey, open, seal, TAG_BYTES, type Bytes } from '../../src/e2ee/sframe.ts';
import { bytes, hex, toHex } from './helpers.ts';

const key = await deriveKey(hex('000102030405060708090a0b0c0d0e0f'), 0n);
let counter = 0n;

function sealing(codec: Codec, frame: Bytes): Promise<Bytes> {
  return sealFrame(codec, frame, (metadata, plaintext) => seal(key, counter++, metadata, plaintext));
}

function opening(codec: Codec, frame: Bytes): Promise<Bytes> {
  return openFrame(codec, frame, async (metadata, sealed) => {
    const header = parseHeader(sealed);
    const opened = header && (await open(key, header, metadata, sealed));
    if (!opened) throw new Error('does not open');
    return opened;
  });
}

async function roundTrip(codec: Codec, frame: Bytes): Promise<Bytes> {
  const sealed = await sealing(codec, frame);
  assert.equal(toHex(await opening(codec, sealed)), toHex(frame));
  return sealed;
}

test('names of codecs', () => {
  assert.equal(codecOf('video/VP8'), 'vp8');
  assert.equal(codecOf('audio/opus'), 'opus');
  assert.equal(codecOf('video/H265'), null);
});

test('Opus: the TOC byte stays clear, even alone', async () => {
  const sealed = await roundTrip('opus', concat(Uint8Array.of(0x78), bytes(80, 1)));
  assert.equal(sealed[0], 0x78);
  await roundTrip('opus', Uint8Array.of(0x78));
});

test('VP8: 10 bytes of a key frame and 3 of a delta frame stay clear', async () => {
  for (const [first, clear] of [[0x10, 10], [0x11, 3]] as const) {
    const frame = concat(Uint8Array.of(first), bytes(500, 2));
    const sealed = await roundTrip('vp8', frame);
    assert.equal(toHex(sealed.subarray(0, clear)), toHex(frame.subarray(0, clear)));
    assert.notEqual(toHex(sealed.subarray(0, 60)), toHex(frame.subarray(0, 60)));
    for (let at = 0; at < clear; at++) {
      const changed = sealed.slice();
      changed[at] = (changed[at] ?? 0) ^ 2;
      await assert.rejects(opening('vp8', changed), `byte ${at} is authenticated`);
    }
  }
  await assert.rejects(sealing('vp8', Uint8Array.of(0x10, 1, 2)), MalformedFrame);
});

test('VP9: all of the frame is sealed', async () => {
  const frame = bytes(300, 3);
  assert.equal(parseHeader(await roundTrip('vp9', frame))?.kid, 0n);
});

// --- H.264

const sps = hex('6742c01fda0280bfe5c044000003000400000300f03c60c920');
const pps = hex('68ce3c80');
const start4 = hex('00000001');
const start3 = hex('000001');

function slice(type: 1 | 5, length: number, seed: number): Bytes {
  return concat(Uint8Array.of(0x60 | type, 0x88, 0x84), escape(bytes(length, seed), 0), Uint8Array.of(0x80));
}

function startCodes(frame: Uint8Array): number {
  return toHex(frame).match(/../g)?.join(' ').match(/00 00 01/g)?.length ?? 0;
}

test('H264: emulation prevention in both directions, whatever stands before', () => {
  assert.equal(toHex(escape(hex('000001'), 0)), '00000301');
  assert.equal(toHex(escape(hex('01'), 2)), '0301');
  assert.equal(toHex(escape(hex('0000000000'), 0)), '00000300000300');
  for (let seed = 0; seed < 300; seed++) {
    const data = bytes(1 + (seed % 90), seed);
    for (const zeros of [0, 1, 2]) {
      const escaped = escape(data, zeros);
      assert.equal(toHex(unescape(escaped, zeros)), toHex(data));
      assert.doesNotMatch(toHex(concat(new Uint8Array(zeros), escaped)).replace(/(..)/g, '$1 '), /00 00 0[012] /);
    }
  }
});

test('H264: parameter sets and 3 bytes of the slice stay clear, no start code appears', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const frame = concat(start4, sps, start4, pps, start4, slice(5, 400, seed), start3, slice(5, 200, seed + 1000));
    const sealed = await roundTrip('h264', frame);
    const clear = 4 + sps.length + 4 + pps.length + 4 + 3;
    assert.equal(toHex(sealed.subarray(0, clear)), toHex(frame.subarray(0, clear)));
    assert.equal(startCodes(sealed), 3, 'the second slice is inside');
    assert.notEqual(sealed.at(-1), 0);
  }
});

test('H264: zeros at the end of the clear part count for emulation prevention', async () => {
  const frame = concat(start4, hex('650000'), bytes(40, 11));
  const sealed = await sealFrame('h264', frame, (metadata, plaintext) => seal(key, 1n, metadata, plaintext));
  // The SFrame header of counter 1 is 01, which would make a start code.
  assert.equal(toHex(sealed.subarray(0, 9)), '000000016500000301');
  assert.equal(toHex(await opening('h264', sealed)), toHex(frame));
});

test('H264: a packetizer may change the length of start codes and add zeros at the end', async () => {
  const frame = concat(start4, sps, start4, pps, start4, slice(5, 100, 1));
  const sealed = await sealing('h264', frame);
  const bare = sealed.subarray(4 + sps.length + 4 + pps.length + 4);
  const changed = concat(start3, sps, start3, pps, start3, bare, Uint8Array.of(0, 0));
  assert.equal(toHex(await opening('h264', changed)), toHex(concat(start3, sps, start3, pps, start3, frame.subarray(4 + sps.length + 4 + pps.length + 4))));
  const forged = sealed.slice();
  forged[8] = (forged[8] ?? 0) ^ 1;
  await assert.rejects(opening('h264', forged), 'parameter sets are authenticated');
});

test('H264: a frame without a slice is never sent in clear', async () => {
  await assert.rejects(sealing('h264', concat(start4, sps)), MalformedFrame);
  await assert.rejects(sealing('h264', bytes(50, 4).fill(7)), MalformedFrame);
});

// --- AV1

function obu(type: number, payload: Uint8Array, extension?: number): Bytes {
  const header = extension === undefined ? [(type << 3) | 2] : [(type << 3) | 6, extension];
  return concat(Uint8Array.from(header), leb128(payload.length), payload);
}

const delimiter = obu(2, new Uint8Array(0));
const sequence = obu(1, hex('0a0b00000024c6abdfb3'));

test('AV1: headers stay clear, pictures are sealed, sizes are right', async () => {
  const picture = bytes(700, 5);
  const frame = concat(delimiter, sequence, obu(6, picture));
  const sealed = await roundTrip('av1', frame);
  const clear = delimiter.length + sequence.length;
  assert.equal(toHex(sealed.subarray(0, clear)), toHex(frame.subarray(0, clear)));
  assert.equal(sealed[clear], (6 << 3) | 2);
  const header = encodeHeader(0n, counter - 1n).length;
  assert.equal(sealed.length, frame.length + header + TAG_BYTES);
});

test('AV1: several OBUs with extensions, sizes around the leb128 borders', async () => {
  for (const length of [1, 109, 110, 111, 112, 127, 128, 16_366, 16_367, 16_384]) {
    await roundTrip('av1', concat(delimiter, obu(3, bytes(20, 6), 0x08), obu(4, bytes(length, 7), 0x08), obu(4, bytes(length, 8), 0x08)));
  }
});

test('AV1: a frame without sizes at its end, and one without its delimiter, still open', async () => {
  const picture = bytes(50, 9);
  const bare = concat(delimiter, Uint8Array.of(6 << 3), picture);
  assert.equal(toHex(await opening('av1', await sealing('av1', bare))), toHex(concat(delimiter, obu(6, picture))), 'the size is written');
  const sealed = await sealing('av1', concat(delimiter, sequence, obu(6, picture)));
  assert.equal(toHex(await opening('av1', sealed.subarray(delimiter.length))), toHex(concat(sequence, obu(6, picture))));
});

test('AV1: clear OBUs are authenticated, also their absence', async () => {
  const sealed = await sealing('av1', concat(delimiter, sequence, obu(6, bytes(50, 10))));
  await assert.rejects(opening('av1', concat(delimiter, sealed.subarray(delimiter.length + sequence.length))));
  const changed = sealed.slice();
  changed[delimiter.length + 4] = 0xff;
  await assert.rejects(opening('av1', changed));
});

test('AV1: sizes that lie are malformed, not a crash', async () => {
  await assert.rejects(sealing('av1', concat(delimiter, Uint8Array.of((6 << 3) | 2, 200, 1, 2))), MalformedFrame);
  await assert.rejects(sealing('av1', Uint8Array.of((6 << 3) | 2, 0xff)), MalformedFrame);
  await assert.rejects(sealing('av1', Uint8Array.of(0xff)), MalformedFrame);
  await assert.rejects(sealing('av1', delimiter), MalformedFrame);
});

test('bytes from outside never make anything but an error', async () => {
  for (let seed = 0; seed < 400; seed++) {
    const noise = bytes(seed % 120, seed * 17);
    for (const codec of ['opus', 'vp8', 'vp9', 'h264', 'av1'] as const) await assert.rejects(opening(codec, noise));
  }
});
