import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallEvents } from '../../src/call.ts';
import type { MediaView } from '../../src/call-view.ts';
import { Emitter } from '../../src/emitter.ts';
import { Merge } from '../../src/matrix/merge.ts';
import type { RemoteParticipant } from '../../src/roster.ts';
import type { Track } from '../../src/wire.ts';
import { settle } from './matrix-helpers.ts';

class FakeWay extends Emitter<CallEvents> implements MediaView {
  readonly participants = new Map<string, RemoteParticipant>();
  readonly wanted: string[] = [];

  put(id: string, identity: string, ...sources: Track['source'][]): RemoteParticipant {
    const tracks = new Map(sources.map((source): [string, Track] => [`${id}-${source}`, { track: `${id}-${source}`, kind: source === 'microphone' ? 'audio' : 'video', source, muted: false, enc: { format: 'sframe', key_index: 0 } }]));
    const participant: RemoteParticipant = { id, identity, name: `name of ${id}`, keys: [], tracks, quality: null };
    this.participants.set(id, participant);
    this.emit('participant-joined', participant);
    return participant;
  }

  drop(id: string): void {
    const participant = this.participants.get(id);
    this.participants.delete(id);
    if (participant) this.emit('participant-left', { participant, reason: 'left' });
  }

  media(participant: RemoteParticipant, source: string, media: string): void {
    const track = participant.tracks.get(`${participant.id}-${source}`);
    if (track) this.emit('media', { participant, track, media: media as unknown as MediaStreamTrack });
  }

  opened(participant: RemoteParticipant, source: string): void {
    this.emit('encryption', { participant: participant.id, track: `${participant.id}-${source}`, state: 'ok' });
  }

  emitState(participant: RemoteParticipant, source: string, state: 'ok' | 'missing-key'): void {
    this.emit('encryption', { participant: participant.id, track: `${participant.id}-${source}`, state });
  }

  speak(participant: string, level: number): void {
    this.emit('speakers', [{ participant, level }]);
  }

  want(track: string): void {
    this.wanted.push(track);
  }
}

function setUp(): { merge: Merge; log: string[]; names: Map<string, string>; playing: (() => void)[] } {
  const playing: (() => void)[] = [];
  const names = new Map([['id-a', 'alice'], ['id-b', 'bob']]);
  const merge = new Merge(({ identity }) => {
    const name = names.get(identity ?? '');
    if (name === 'hidden') return 'hidden';
    return name === undefined ? null : { id: name, name };
  }, () => new Promise((resolve) => void playing.push(resolve)));
  const log: string[] = [];
  merge.on('participant-joined', ({ id }) => void log.push(`joined ${id}`));
  merge.on('participant-left', ({ participant }) => void log.push(`left ${participant.id}`));
  merge.on('track-added', ({ track }) => void log.push(`added ${track.track}`));
  merge.on('track-removed', ({ track }) => void log.push(`removed ${track.track}`));
  merge.on('media', ({ track, media }) => void log.push(`play ${track.track} ${String(media)}`));
  merge.on('media-ended', ({ track }) => void log.push(`stop ${track}`));
  return { merge, log, names, playing };
}

test('members are shown before, and without, any medium', () => {
  const { merge, log } = setUp();
  merge.setMembers(new Map([['alice', 'Alice']]));
  const focus = new FakeWay();
  merge.add('focus', focus);
  focus.put('p1', 'id-a', 'camera');
  assert.deepEqual(log, ['joined alice', 'added alice/camera']);
  focus.drop('p1');
  assert.deepEqual(log.slice(2), ['removed alice/camera']);
  merge.setMembers(new Map());
  assert.deepEqual(log.slice(3), ['left alice']);
});

test('what is shown changes over only when the other way has opened frames that play', async () => {
  const { merge, log, playing } = setUp();
  const [mesh, focus] = [new FakeWay(), new FakeWay()];
  merge.add('mesh', mesh);
  const direct = mesh.put('d', 'id-a', 'camera');
  merge.want('alice/camera', { width: 1, height: 1 });
  mesh.media(direct, 'camera', 'M');
  mesh.opened(direct, 'camera');
  merge.add('focus', focus);
  const forwarded = focus.put('f', 'id-a', 'camera');
  assert.deepEqual(focus.wanted, ['f-camera'], 'asked for at once');
  focus.media(forwarded, 'camera', 'F');
  assert.equal(merge.shownOver('alice/camera'), 'mesh');
  focus.opened(forwarded, 'camera');
  assert.equal(merge.shownOver('alice/camera'), 'mesh', 'opened, but perhaps no key frame');
  playing[0]?.();
  await settle();
  assert.equal(merge.shownOver('alice/camera'), 'focus');
  focus.emitState(forwarded, 'camera', 'missing-key');
  mesh.opened(direct, 'camera');
  assert.equal(merge.shownOver('alice/camera'), 'focus', 'a late key is no reason to go back');
  merge.remove('mesh');
  assert.deepEqual(log, ['joined alice', 'added alice/camera', 'play alice/camera M', 'play alice/camera F'], 'nothing was taken away between');
});

/** A `Call` may bring the medium in the same moment in which it is asked for it. */
class QuickWay extends FakeWay {
  override want(track: string): void {
    super.want(track);
    const participant = [...this.participants.values()].find(({ tracks }) => tracks.has(track));
    if (participant) this.media(participant, 'camera', 'Q');
  }
}

test('a medium that comes in while it is asked for is not missed', () => {
  const { merge } = setUp();
  const [mesh, focus] = [new FakeWay(), new QuickWay()];
  merge.add('mesh', mesh);
  mesh.put('d', 'id-a', 'camera');
  merge.want('alice/camera', { width: 1, height: 1 });
  merge.add('focus', focus);
  const forwarded = focus.put('f', 'id-a', 'camera');
  focus.opened(forwarded, 'camera');
  assert.equal(merge.shownOver('alice/camera'), 'focus');
});

test('somebody unknown stays apart until his membership comes', () => {
  const { merge, log, names } = setUp();
  const focus = new FakeWay();
  merge.add('focus', focus);
  const stranger = focus.put('p9', 'id-c', 'microphone');
  assert.deepEqual(log, ['joined ?focus/p9', 'added ?focus/p9/microphone']);
  focus.media(stranger, 'microphone', 'S');
  names.set('id-c', 'carol');
  merge.setMembers(new Map([['carol', 'Carol']]));
  const changed = ['stop ?focus/p9/microphone', 'removed ?focus/p9/microphone', 'left ?focus/p9', 'joined carol', 'added carol/microphone', 'play carol/microphone S'];
  assert.deepEqual(log.slice(3), changed, 'what came in before is not lost');
});

test('those who speak at several foci are told together, loudest first', () => {
  const { merge } = setUp();
  const [one, two] = [new FakeWay(), new FakeWay()];
  merge.add('one', one);
  merge.add('two', two);
  one.put('p', 'id-a');
  two.put('p', 'id-b');
  const heard: string[] = [];
  merge.on('speakers', (speakers) => void heard.push(speakers.map(({ participant }) => participant).join()));
  one.speak('p', 40);
  two.speak('p', 20);
  assert.deepEqual(heard, ['alice', 'bob,alice']);
});

test('one who has just left is not shown, though the focus still has him', () => {
  const { merge, log, names } = setUp();
  const focus = new FakeWay();
  merge.add('focus', focus);
  const alice = focus.put('p', 'id-a', 'camera');
  names.set('id-a', 'hidden');
  merge.refresh();
  focus.media(alice, 'camera', 'H');
  assert.deepEqual(log, ['joined alice', 'added alice/camera', 'removed alice/camera', 'left alice']);
  names.set('id-a', 'alice');
  merge.refresh();
  assert.deepEqual(log.slice(4), ['joined alice', 'added alice/camera', 'play alice/camera H'], 'back, with what came in meanwhile');
  names.delete('id-a');
  merge.refresh();
  assert.ok(log.includes('joined ?focus/p'), 'one who stays is a stranger');
});

test('two people at two foci', () => {
  const { merge, log } = setUp();
  const [one, two] = [new FakeWay(), new FakeWay()];
  merge.add('one', one);
  merge.add('two', two);
  one.put('same', 'id-a', 'camera');
  two.put('same', 'id-b', 'camera');
  assert.deepEqual(log, ['joined alice', 'added alice/camera', 'joined bob', 'added bob/camera']);
  merge.remove('one');
  assert.deepEqual(log.slice(4), ['removed alice/camera', 'left alice']);
});
