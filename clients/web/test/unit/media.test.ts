import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codecsOfSdp } from '../../src/e2ee/client.ts';
import { chooseCodecs, encodingsFor, receivable } from '../../src/encodings.ts';
import { Negotiator, type Describable } from '../../src/negotiator.ts';
import { Rotation } from '../../src/rotation.ts';
import { askForAudioNack } from '../../src/sdp.ts';
import { BATCH, SlotPool } from '../../src/slots.ts';
import { Subscriptions } from '../../src/subscriptions.ts';
import type { KeySalt, Kind } from '../../src/wire.ts';
import { FakeClock } from './helpers.ts';

function pool(): { slots: SlotPool<{ mid: string | null }>; made: Kind[]; offers: () => number } {
  const made: Kind[] = [];
  let offers = 0;
  const slots = new SlotPool<{ mid: string | null }>(
    (kind) => ({ mid: String(made.push(kind) - 1) }),
    () => offers++,
  );
  return { slots, made, offers: () => offers };
}

test('slots are made in batches, and only when none is free', () => {
  const { slots, made, offers } = pool();
  for (let i = 0; i < BATCH.video; i++) slots.assign(`t-${i}`, 'video');
  assert.equal(offers(), 1);
  assert.equal(made.length, BATCH.video);
  slots.assign('one-more', 'video');
  assert.equal(offers(), 2);
  slots.assign('sound', 'audio');
  assert.equal(offers(), 3, 'kinds have slots of their own');
});

test('a freed slot is used again without an offer, the longest free one first', () => {
  const { slots, offers } = pool();
  const first = Array.from({ length: BATCH.video }, (_, i) => slots.assign(`t-${i}`, 'video'));
  slots.release('t-1');
  slots.release('t-0');
  assert.equal(slots.assign('new-1', 'video'), first[1]);
  assert.equal(slots.assign('new-2', 'video'), first[0]);
  assert.equal(slots.get('t-0'), undefined);
  assert.equal(offers(), 1);
});

test('a track keeps its slot, and one slot never carries two tracks', () => {
  const { slots } = pool();
  assert.equal(slots.assign('t', 'audio'), slots.assign('t', 'audio'));
  for (let i = 0; i < 30; i++) slots.assign(`t-${i}`, 'audio');
  for (let i = 0; i < 30; i += 3) slots.release(`t-${i}`);
  for (let i = 30; i < 45; i++) slots.assign(`t-${i}`, 'audio');
  const carried = slots.all().flatMap(({ track }) => track ?? []);
  assert.equal(new Set(carried).size, carried.length);
  assert.equal(slots.release('nobody'), undefined);
});

test('subscriptions: only differences, only with a mid, off first', () => {
  const subscriptions = new Subscriptions();
  const mids = new Map<string, string | null>([['a', '3'], ['b', null]]);
  const changes = () => {
    const list = subscriptions.changes((track) => mids.get(track) ?? null);
    subscriptions.told(list);
    return list;
  };
  subscriptions.wish('a', { width: 640, height: 360 });
  subscriptions.wish('b', {});
  assert.deepEqual(changes(), [{ track: 'a', mid: '3', width: 640, height: 360 }]);
  assert.deepEqual(changes(), []);
  mids.set('b', '4');
  assert.deepEqual(changes(), [{ track: 'b', mid: '4' }]);
  subscriptions.wish('a', { width: 320, height: 180 });
  assert.deepEqual(changes(), [{ track: 'a', mid: '3', width: 320, height: 180 }]);
  subscriptions.drop('a');
  subscriptions.wish('c', {});
  mids.set('c', '3');
  assert.deepEqual(changes(), [{ track: 'a', off: true }, { track: 'c', mid: '3' }]);
  subscriptions.ended('c');
  assert.deepEqual(changes(), [], 'the focus ended it itself');
  subscriptions.forgetTold();
  assert.deepEqual(changes(), [{ track: 'b', mid: '4' }], 'after a resume everything wanted is told again');
});

class FakePeer implements Describable {
  signalingState = 'stable';
  localDescription: { sdp: string } | null = null;
  offers = 0;
  rolledBack = 0;
  restarts = 0;

  async setLocalDescription(description?: { type: 'rollback' }): Promise<void> {
    if (description) {
      this.rolledBack++;
      this.signalingState = 'stable';
      return;
    }
    this.localDescription = { sdp: `offer ${++this.offers}` };
    this.signalingState = 'have-local-offer';
  }

  async setRemoteDescription(): Promise<void> {
    assert.equal(this.signalingState, 'have-local-offer');
    this.signalingState = 'stable';
  }

  restartIce(): void {
    this.restarts++;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function negotiation(): { peer: FakePeer; negotiator: Negotiator; sent: number[]; link: { up: boolean }; failures: unknown[] } {
  const peer = new FakePeer();
  const sent: number[] = [];
  const failures: unknown[] = [];
  const link = { up: true };
  const negotiator = new Negotiator(peer, {
    tracks: () => [],
    send: ({ seq }) => (link.up ? sent.push(seq) : null),
    answered: () => undefined,
    failed: (error) => failures.push(error),
  });
  return { peer, negotiator, sent, link, failures };
}

test('one offer at a time; what comes meanwhile makes one more', async () => {
  const { peer, negotiator, sent, failures } = negotiation();
  negotiator.request();
  await settled();
  for (let i = 0; i < 5; i++) negotiator.request();
  await settled();
  assert.deepEqual(sent, [1]);
  await negotiator.handleAnswer({ seq: 1, sdp: '', tracks: [] });
  await settled();
  assert.deepEqual(sent, [1, 2]);
  await negotiator.handleAnswer({ seq: 1, sdp: '', tracks: [] });
  assert.equal(peer.signalingState, 'have-local-offer', 'an old answer is none');
  await negotiator.handleAnswer({ seq: 2, sdp: '', tracks: [] });
  await settled();
  assert.deepEqual(sent, [1, 2]);
  assert.deepEqual(failures, []);
});

test('an offer whose answer was lost with the socket is made again', async () => {
  const { negotiator, sent } = negotiation();
  negotiator.request();
  await settled();
  negotiator.resumed();
  await settled();
  assert.deepEqual(sent, [1, 2]);
  await negotiator.handleAnswer({ seq: 2, sdp: '', tracks: [] });
  negotiator.resumed();
  await settled();
  assert.deepEqual(sent, [1, 2], 'and none without need');
});

test('an offer without a session waits for the next one', async () => {
  const { negotiator, sent, link } = negotiation();
  link.up = false;
  negotiator.restartIce();
  await settled();
  assert.deepEqual(sent, []);
  link.up = true;
  negotiator.resumed();
  await settled();
  assert.deepEqual(sent, [2]);
});

test('a refused offer is taken back, other refusals are not its concern', async () => {
  const { peer, negotiator, sent } = negotiation();
  negotiator.request();
  await settled();
  assert.equal(await negotiator.handleRefusal(99), false);
  assert.equal(await negotiator.handleRefusal(undefined), false);
  assert.equal(await negotiator.handleRefusal(1), true);
  assert.equal(peer.rolledBack, 1);
  negotiator.request();
  await settled();
  assert.deepEqual(sent, [1, 2]);
});

test('simulcast layers follow size, codec and browser', () => {
  const rids = (width: number, height: number, codec: 'vp8' | 'vp9' | 'av1' | 'h264', simulcast = true, scalable = true) =>
    encodingsFor({ source: 'camera', width, height, codec, simulcast, scalable }).map(({ rid }) => rid);
  assert.deepEqual(rids(1280, 720, 'vp8'), ['q', 'h', 'f']);
  assert.deepEqual(rids(720, 1280, 'h264'), ['q', 'h', 'f'], 'a phone held upright');
  assert.deepEqual(rids(640, 360, 'vp8'), ['h', 'f']);
  assert.deepEqual(rids(320, 180, 'vp8'), [undefined]);
  assert.deepEqual(rids(1280, 720, 'vp8', false), [undefined]);
  assert.deepEqual(rids(1280, 720, 'vp9', true, false), [undefined], 'Firefox would send one layer three times');
  const modern = encodingsFor({ source: 'camera', width: 1280, height: 720, codec: 'av1', simulcast: true, scalable: true });
  assert.ok(modern.every((encoding) => (encoding as { scalabilityMode?: string }).scalabilityMode === 'L1T1'));
  assert.deepEqual(modern.map(({ scaleResolutionDownBy }) => scaleResolutionDownBy), [4, 2, 1]);
  assert.equal(encodingsFor({ source: 'screen', width: 1920, height: 1080, codec: 'vp8', simulcast: true, scalable: true }).length, 1);
});

test('the wanted codec alone with its repair formats, its plainest form first; all of them when it is missing', () => {
  const codecs = [
    { mimeType: 'video/VP8' },
    { mimeType: 'video/rtx' },
    { mimeType: 'video/H264', sdpFmtpLine: 'packetization-mode=0;profile-level-id=42001f' },
    { mimeType: 'video/H264', sdpFmtpLine: 'packetization-mode=1;profile-level-id=42e01f' },
    { mimeType: 'video/VP9', sdpFmtpLine: 'profile-id=2' },
    { mimeType: 'video/VP9', sdpFmtpLine: 'profile-id=0' },
  ];
  const order = (wanted: 'h264' | 'vp9' | 'av1') => chooseCodecs(codecs, wanted).map((codec) => codecs.indexOf(codec));
  assert.deepEqual(order('h264'), [3, 2, 1]);
  assert.deepEqual(order('vp9'), [5, 4, 1]);
  assert.deepEqual(order('av1'), [0, 1, 2, 3, 4, 5]);
});

test('a slot takes what the focus forwards, and no more', () => {
  const codec = (mimeType: string, sdpFmtpLine?: string) => ({ mimeType, ...(sdpFmtpLine ? { sdpFmtpLine } : {}) });
  const wanted = [
    codec('audio/opus', 'minptime=10;useinbandfec=1'),
    codec('video/VP8', 'max-fs=12288;max-fr=60'),
    codec('video/rtx'),
    codec('video/VP9', 'profile-id=0'),
    codec('video/H264', 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f'),
    codec('video/H264', 'level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f'),
    codec('video/AV1', 'level-idx=5;profile=0;tier=0'),
    codec('video/AV1'),
  ];
  const others = [
    ...['audio/red', 'audio/G722', 'audio/PCMU', 'audio/CN', 'audio/telephone-event', 'video/red', 'video/ulpfec', 'video/flexfec-03', 'video/H265'].map((type) => codec(type)),
    codec('video/VP9', 'profile-id=2'),
    codec('video/AV1', 'level-idx=5;profile=1;tier=0'),
    codec('video/H264', 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=f4001f'),
  ];
  assert.deepEqual(receivable([...others, ...wanted]), wanted);
});

test('an offer asks for lost Opus to be sent again, on every audio m-line, once', () => {
  const head = 'v=0\r\na=rtpmap:111 opus/48000/2\r\n';
  const audio = (mid: string, type: string, more = '') =>
    `m=audio 9 UDP/TLS/RTP/SAVPF ${type} 63\r\na=mid:${mid}\r\na=rtpmap:${type} opus/48000/2\r\n${more}a=rtcp-fb:${type} transport-cc\r\na=rtpmap:63 red/48000/2\r\n`;
  const video = 'm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\n';
  const asked = head + audio('0', '111', 'a=rtcp-fb:111 nack\r\n') + video + audio('2', '109', 'a=rtcp-fb:109 nack\r\n');
  assert.equal(askForAudioNack(head + audio('0', '111') + video + audio('2', '109')), asked);
  assert.equal(askForAudioNack(asked), asked);
  // Firefox writes its attributes in the order of the alphabet.
  const firefox = 'm=audio 9 UDP/TLS/RTP/SAVPF 109\r\na=fmtp:109 useinbandfec=1\r\na=rtpmap:109 OPUS/48000/2\r\na=setup:actpass\r\n';
  assert.equal(askForAudioNack(firefox), firefox.replace('48000/2\r\n', '48000/2\r\na=rtcp-fb:109 nack\r\n'));
  assert.equal(askForAudioNack(''), '');
});

test('the offer that is sent asks, the local description is left alone', async () => {
  const opus = 'm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n';
  const peer = new FakePeer();
  const set: unknown[] = [];
  peer.setLocalDescription = async (description?: unknown) => {
    set.push(description);
    peer.localDescription = { sdp: opus };
  };
  const sent: string[] = [];
  const ignored = (): undefined => undefined;
  new Negotiator(peer, { tracks: () => [], send: ({ sdp }) => sent.push(sdp), answered: ignored, failed: ignored }).request();
  await settled();
  assert.deepEqual(sent, [`${opus}a=rtcp-fb:111 nack\r\n`]);
  assert.deepEqual(set, [undefined]);
});

test('payload types of an SDP', () => {
  const sdp = 'm=audio 9 UDP 111\r\na=rtpmap:111 opus/48000/2\r\nm=video 9 UDP 96 45\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:45 AV1/90000\r\n';
  assert.deepEqual([...codecsOfSdp(sdp)], [[111, 'audio/opus'], [96, 'video/VP8'], [45, 'video/AV1']]);
});

test('rotation: announced first, used after the delay, leavers of one moment share one', () => {
  const clock = new FakeClock();
  const log: string[] = [];
  const keys: KeySalt[] = [];
  const rotation = new Rotation({
    clock,
    useDelayMs: 1000,
    newKey: () => ({ index: keys.push({ index: keys.length, salt: '' }) - 1, keys }),
    announced: () => keys,
    useKey: (index) => log.push(`use ${index}`),
    announce: (list, index) => log.push(`announce ${list.length}, under ${index}`),
  });
  rotation.announce();
  rotation.rotate();
  clock.advance(999);
  assert.deepEqual(log, ['use 0', 'announce 1, under 0', 'announce 2, under 0']);
  rotation.inUse(0);
  rotation.rotate();
  rotation.rotate();
  clock.advance(1);
  assert.deepEqual(log.slice(3), ['use 1', 'announce 3, under 0'], 'frames under the old key may still go out');
  assert.equal(rotation.keyIndex, 0);
  rotation.inUse(1);
  assert.deepEqual(log.slice(5), ['announce 3, under 1']);
  clock.advance(1000);
  rotation.inUse(2);
  rotation.inUse(1);
  assert.deepEqual(log.slice(6), ['use 2', 'announce 3, under 2']);
  rotation.rotate();
  rotation.close();
  clock.advance(10_000);
  assert.equal(rotation.keyIndex, 2);
});
