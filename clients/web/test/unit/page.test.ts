import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overall } from '../../src/page/badge.ts';
import { bestColumns, tileWidth } from '../../src/page/layout.ts';
import { niceCeiling } from '../../src/page/plot.ts';
import { parseRoute } from '../../src/page/route.ts';
import { wishFor } from '../../src/page/visibility.ts';
import { tileNote } from '../../src/page/words.ts';
import { Roster } from '../../src/roster.ts';
import { rates, read } from '../../src/stats.ts';
import { socketUrl } from '../../src/token.ts';
import type { EncryptionState } from '../../src/index.ts';
import type { Participant, Pause } from '../../src/wire.ts';

test('addresses', () => {
  const route = parseRoute('http://host/call/my%20room?name=Ann&autojoin=1&codec=AV1&video=320x180@15&simulcast=0#s3cret');
  assert.deepEqual(route, {
    room: 'my room', name: 'Ann', autojoin: true, secret: 's3cret', codec: 'av1', simulcast: false, video: { width: 320, height: 180, fps: 15 },
  });
  const bare = parseRoute('http://host/call/r');
  assert.deepEqual([bare.secret, bare.autojoin, bare.name, bare.codec, bare.video.width], [null, false, null, 'vp8', 1280]);
  assert.equal(parseRoute('http://host/call/r#').secret, null);
  assert.equal(parseRoute('http://host/').room, null);
  assert.equal(parseRoute('http://host/call/a/b').room, null);
  assert.equal(parseRoute('http://host/call/%E0%A4%A').room, '%E0%A4%A', 'a bad escape is no crash');
  assert.equal(socketUrl('/rtc/v1', 'https://host/call/x?y#z'), 'wss://host/rtc/v1');
  assert.equal(socketUrl('wss://other/v1', 'https://host/'), 'wss://other/v1');
});

function said(encrypting: boolean, ...tiles: (EncryptionState | null)[]): string {
  return overall({ encrypting, tiles, namesWith: () => ['Bob'] }).state;
}

test('the badge promises no more than the tiles have shown', () => {
  assert.equal(said(true), 'pending');
  assert.equal(said(true, null), 'pending');
  assert.equal(said(true, 'ok', null), 'ok');
  assert.equal(said(true, 'ok', 'off'), 'off');
  assert.equal(said(true, 'ok', 'off', 'missing-key'), 'missing-key');
  assert.equal(said(true, 'ok', 'missing-key', 'failed'), 'failed');
  assert.equal(said(false, 'ok'), 'off', 'what we send is in clear');
  assert.match(overall({ encrypting: true, tiles: ['failed'], namesWith: () => ['Bob'] }).detail, /Bob: the link’s secret differs/);
});

test('a tile says when its video is held back, and what is worse first', () => {
  const note = (state: EncryptionState | null, ...paused: (Pause | null)[]) => tileNote({ state, text: 'cannot decrypt' }, paused);
  const slow = 'Video is paused: your connection is slow';
  for (const state of ['ok', 'off', null] as const) assert.equal(note(state, 'bandwidth'), slow);
  assert.equal(note('ok', 'muted', 'bandwidth'), slow);
  assert.equal(note('ok', 'muted', 'no_source', 'off', null), '', 'that is seen anyhow, or is nobody’s trouble');
  assert.equal(note('failed', 'bandwidth'), 'cannot decrypt');
  assert.equal(note('missing-key'), 'cannot decrypt');
});

test('layout: the most area, on wide and on narrow pages', () => {
  assert.equal(bestColumns(1, 1600, 900, 10), 1);
  assert.equal(bestColumns(2, 1600, 900, 10), 2);
  assert.equal(bestColumns(4, 1600, 900, 10), 2);
  assert.equal(bestColumns(9, 1600, 900, 10), 3);
  assert.equal(bestColumns(4, 320, 900, 10), 1);
  for (let count = 1; count <= 40; count++) {
    const columns = bestColumns(count, 1000, 700, 10);
    const width = tileWidth(count, columns, 1000, 700, 10);
    assert.ok(columns * width + (columns - 1) * 10 <= 1000);
    assert.ok(Math.ceil(count / columns) * ((width * 9) / 16) <= 700);
  }
});

test('wanted sizes are in device pixels, in steps', () => {
  assert.deepEqual(wishFor(300, 169, 2), { width: 608, height: 352 });
  assert.deepEqual(wishFor(301, 169, 2), { width: 608, height: 352 });
  assert.deepEqual(wishFor(0, 0, 1), { width: 32, height: 32 });
});

test('plots: scales', () => {
  assert.deepEqual([0, 0.3, 1, 7, 49, 51, 120, 999].map(niceCeiling), [1, 0.5, 1, 10, 50, 100, 200, 1000]);
});

const bob: Participant = { id: 'p-b', name: 'Bob', tracks: [{ track: 't-1', kind: 'audio', source: 'microphone', muted: false }] };

test('roster: what changed, and nothing twice', () => {
  const roster = new Roster();
  const kinds = (changes: readonly { what: string }[]): string[] => changes.map(({ what }) => what);
  assert.deepEqual(kinds(roster.replace([bob])), ['joined', 'track-added']);
  assert.deepEqual(kinds(roster.replace([bob])), ['updated', 'track-changed'], 'a resync is no new arrival');
  const camera = { track: 't-2', kind: 'video', source: 'camera', muted: false } as const;
  assert.deepEqual(kinds(roster.apply({ event: 'updated', participant: { ...bob, tracks: [camera] } })), ['updated', 'track-removed', 'track-added']);
  assert.equal(roster.ownerOf('t-2')?.participant.name, 'Bob');
  assert.deepEqual(kinds(roster.mute('t-2', true)), ['track-changed']);
  assert.deepEqual(kinds(roster.mute('t-2', true)), []);
  assert.equal(roster.ownerOf('t-2')?.track.muted, true);
  assert.deepEqual(kinds(roster.quality('p-b', 'poor')), ['updated']);
  assert.deepEqual(kinds(roster.replace([])), ['track-removed', 'left']);
  assert.deepEqual(kinds(roster.apply({ event: 'left', id: 'nobody', reason: 'left' })), []);
});

test('statistics: rates between two readings', () => {
  const report = (bytes: number, frames: number, received: number, lost: number): [string, unknown][] => [
    ['pair', { type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 0.025 }],
    ['c', { type: 'codec', mimeType: 'video/VP8' }],
    ['in', { type: 'inbound-rtp', kind: 'video', mid: '3', codecId: 'c', bytesReceived: bytes, framesDecoded: frames, packetsReceived: received, packetsLost: lost, jitter: 0.004, frameWidth: 640, frameHeight: 360 }],
    ['out', { type: 'outbound-rtp', kind: 'audio', mid: '0', bytesSent: bytes / 10 }],
  ];
  const first = read(report(0, 0, 0, 0), 0);
  const second = read(report(250_000, 60, 90, 10), 2000);
  assert.deepEqual(rates(first, second), { kbpsIn: 1000, kbpsOut: 100, fpsIn: 30, fpsOut: 0, lossPercent: 10, rttMs: 25, jitterMs: 4 });
  assert.equal(second.streams[0]?.codec, 'VP8');
  assert.ok(Object.values(rates(second, first)).every((value) => value === null || value >= 0));
});
