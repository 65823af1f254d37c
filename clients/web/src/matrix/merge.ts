// One picture of a call that comes in over several ways: our focus, foci of others, and directly from a browser. Everybody is
// shown once, under the member that he is. While a medium comes in over two ways, what is shown goes on until the other has
// really delivered, so that nobody vanishes when the way changes.

import type { CallEvents } from '../call.ts';
import type { MediaView } from '../call-view.ts';
import type { EncryptionState } from '../e2ee/messages.ts';
import { Emitter } from '../emitter.ts';
import type { RemoteParticipant } from '../roster.ts';
import type { Wish } from '../subscriptions.ts';
import type { Pause, Track } from '../wire.ts';

/** Who is behind a participant of a way; `null`: nobody that we know of; `hidden`: somebody who is not to be shown. */
export type Resolve = (participant: RemoteParticipant) => { readonly id: string; readonly name: string } | 'hidden' | null;

/** What a focus says about the name of one whom no member event names is worth nothing. */
const UNKNOWN = 'Unknown';

interface Feed {
  readonly way: Way;
  readonly track: Track;
  readonly participant: RemoteParticipant;
  media: MediaStreamTrack | null;
  state: EncryptionState | null;
  paused: { paused: Pause | null; rid: string | null } | null;
  /** The medium that was really played, out of sight. */
  proven: MediaStreamTrack | null;
}

interface Shown {
  readonly owner: string;
  readonly feeds: Map<string, Feed>;
  active: Feed | null;
}

interface Way {
  readonly name: string;
  readonly view: MediaView;
  readonly stops: (() => void)[];
}

export type MergeEvents = { 'changed-over': undefined } & Pick<CallEvents, 'participant-joined' | 'participant-updated' | 'participant-left' | 'track-added' | 'track-changed' | 'track-removed' | 'media' | 'media-ended' | 'paused' | 'speakers' | 'encryption' | 'quality' | 'warning'>;

export class Merge extends Emitter<MergeEvents> {
  readonly #resolve: Resolve;
  readonly #ways = new Map<string, Way>();
  readonly #participants = new Map<string, RemoteParticipant>();
  /** By the id that the page sees: owner and source. */
  readonly #shown = new Map<string, Shown>();
  readonly #wishes = new Map<string, Wish>();
  /** Each way tells of those that it hears. */
  readonly #speakers = new Map<string, { participant: string; level: number }[]>();
  /** By way and track, whoever they belong to: that may become known only later. */
  #feeds = new Map<string, Feed>();
  /** Members without any medium are shown as well. */
  #members = new Map<string, string>();

  /** Resolves once a medium plays: that frames were opened does not say that there was a key frame among them. */
  readonly #plays: (media: MediaStreamTrack) => Promise<void>;

  constructor(resolve: Resolve, plays: (media: MediaStreamTrack) => Promise<void>) {
    super();
    this.#resolve = resolve;
    this.#plays = plays;
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#participants;
  }

  add(name: string, view: MediaView): void {
    const refresh = (): void => this.refresh();
    const way: Way = { name, view, stops: [] };
    this.#ways.set(name, way);
    way.stops.push(
      view.on('participant-joined', refresh),
      view.on('participant-updated', refresh),
      view.on('participant-left', refresh),
      view.on('track-added', refresh),
      view.on('track-changed', refresh),
      view.on('track-removed', refresh),
      view.on('media', ({ track, media }) => this.#feed(way, track.track, (feed) => (feed.media = media))),
      view.on('media-ended', ({ track }) => this.#feed(way, track, (feed) => ((feed.media = null), (feed.state = null)))),
      view.on('encryption', ({ track, state }) => this.#feed(way, track, (feed) => (feed.state = state))),
      view.on('paused', ({ track, paused, rid }) => this.#feed(way, track, (feed) => (feed.paused = { paused, rid }))),
      view.on('warning', (warning) => this.emit('warning', warning)),
      view.on('speakers', (speakers) => {
        this.#speakers.set(name, speakers.map(({ participant, level }) => ({ participant: this.#ownerOf(way, participant), level })));
        this.emit('speakers', [...this.#speakers.values()].flat().sort((one, other) => one.level - other.level));
      }),
    );
    this.refresh();
  }

  remove(name: string): void {
    const way = this.#ways.get(name);
    if (!way) return;
    for (const stop of way.stops) stop();
    this.#ways.delete(name);
    this.#speakers.delete(name);
    this.refresh();
  }

  /** Everybody else in the session: id and name. */
  setMembers(members: ReadonlyMap<string, string>): void {
    this.#members = new Map(members);
    this.refresh();
  }

  want(id: string, wish: Wish | null): void {
    if (wish) this.#wishes.set(id, wish);
    else this.#wishes.delete(id);
    for (const feed of this.#shown.get(id)?.feeds.values() ?? []) feed.way.view.want(feed.track.track, wish);
  }

  encryptionState(id: string): EncryptionState | null {
    return this.#shown.get(id)?.active?.state ?? null;
  }

  /** Name of the way that a medium is shown from. */
  shownOver(id: string): string | null {
    return this.#shown.get(id)?.active?.way.name ?? null;
  }

  /** Looks at all ways and members again, and tells what is different. */
  refresh(): void {
    const people = new Map<string, { name: string; tracks: Map<string, Feed[]>; identity: string | null; quality: RemoteParticipant['quality'] }>();
    const person = (id: string, name: string) => {
      let found = people.get(id);
      if (!found) people.set(id, (found = { name, tracks: new Map(), identity: null, quality: null }));
      return found;
    };
    for (const [id, name] of this.#members) person(id, name);
    const feeds = new Map<string, Feed>();
    for (const way of this.#ways.values()) {
      for (const participant of way.view.participants.values()) {
        const owner = this.#owner(way, participant);
        const found = owner && person(owner.id, owner.name);
        if (found) {
          found.identity = participant.identity;
          found.quality = participant.quality ?? found.quality;
        }
        for (const track of participant.tracks.values()) {
          const name = key(way, track.track);
          const known = this.#feeds.get(name);
          const feed: Feed = known ? Object.assign(known, { track, participant }) : { way, track, participant, media: null, state: null, paused: null, proven: null };
          // Also of those who are not shown now: they may be again.
          feeds.set(name, feed);
          if (!owner || !found) continue;
          const id = `${owner.id}/${track.source}`;
          found.tracks.set(id, [...(found.tracks.get(id) ?? []), feed]);
        }
      }
    }
    this.#feeds = feeds;
    this.#dropWhoLeft(people);
    for (const [id, { name, tracks, identity, quality }] of people) this.#apply(id, name, tracks, identity, quality);
  }

  #dropWhoLeft(people: ReadonlyMap<string, unknown>): void {
    for (const [id, participant] of [...this.#participants]) {
      if (people.has(id)) continue;
      for (const track of participant.tracks.values()) this.#dropTrack(participant, track);
      this.#participants.delete(id);
      this.emit('participant-left', { participant, reason: 'left' });
    }
  }

  #apply(id: string, name: string, tracks: ReadonlyMap<string, Feed[]>, identity: string | null, quality: RemoteParticipant['quality']): void {
    const before = this.#participants.get(id);
    const shownTracks = new Map<string, Track>();
    for (const [track, feeds] of tracks) {
      const active = this.#shown.get(track)?.active;
      const chosen = feeds.find((feed) => feed === active) ?? feeds[0];
      if (chosen) shownTracks.set(track, { ...chosen.track, track });
    }
    const participant: RemoteParticipant = { id, name, identity, keys: [], tracks: shownTracks, quality };
    this.#participants.set(id, participant);
    if (!before) this.emit('participant-joined', participant);
    else if (before.name !== name || before.quality !== quality) this.emit('participant-updated', participant);
    for (const track of before?.tracks.values() ?? []) if (!shownTracks.has(track.track)) this.#dropTrack(participant, track);
    for (const [track, feeds] of tracks) {
      const shownTrack = shownTracks.get(track);
      if (!shownTrack) continue;
      const isNew = !this.#shown.has(track);
      const shown: Shown = this.#shown.get(track) ?? { owner: id, feeds: new Map(), active: null };
      this.#shown.set(track, shown);
      const fresh = feeds.filter((feed) => !shown.feeds.has(key(feed.way, feed.track.track)));
      shown.feeds.clear();
      for (const feed of feeds) shown.feeds.set(key(feed.way, feed.track.track), feed);
      if (isNew) this.emit('track-added', { participant, track: shownTrack });
      else if (!sameTrack(before?.tracks.get(track), shownTrack)) this.emit('track-changed', { participant, track: shownTrack });
      this.#choose(track, shown);
      // Last: what is wanted may come in at once.
      const wish = this.#wishes.get(track);
      for (const feed of fresh) if (wish) feed.way.view.want(feed.track.track, wish);
    }
  }

  #dropTrack(participant: RemoteParticipant, track: Track): void {
    const shown = this.#shown.get(track.track);
    if (shown?.active?.media) this.emit('media-ended', { track: track.track });
    this.#shown.delete(track.track);
    this.#wishes.delete(track.track);
    this.emit('track-removed', { participant, track });
  }

  /** What is shown stays until another way has opened frames; then the newest of these. */
  #choose(id: string, shown: Shown): void {
    const before = shown.active;
    const feeds = [...shown.feeds.values()];
    const live = feeds.filter((feed) => feed.media && feed.state === 'ok');
    const held = before && feeds.includes(before) && before.media ? before : null;
    // Of several that deliver, the one of the way that was added last: that is where the call is going.
    // Never back to one that was added before while this one still stands: a late key must not make the picture jump.
    const best = live.filter((feed) => held === null || feeds.indexOf(feed) >= feeds.indexOf(held)).at(-1) ?? null;
    if (best && held && held !== best && held.state === 'ok' && best.proven !== best.media) return this.#prove(id, best);
    const next = best ?? held ?? feeds.find((feed) => feed.media) ?? feeds[0] ?? null;
    shown.active = next;
    const participant = this.#participants.get(shown.owner);
    if (!participant || next === null || next === before) return;
    if (next.media) this.emit('media', { participant, track: { ...next.track, track: id }, media: next.media });
    else if (before?.media) this.emit('media-ended', { track: id });
    if (next.state) this.emit('encryption', { participant: participant.id, track: id, state: next.state });
    if (next.paused) this.emit('paused', { track: id, ...next.paused });
  }

  #prove(id: string, feed: Feed): void {
    const { media } = feed;
    if (!media) return;
    void this.#plays(media).then(() => {
      feed.proven = media;
      const shown = this.#shown.get(id);
      if (shown) this.#choose(id, shown);
      this.emit('changed-over', undefined);
    });
  }

  #feed(way: Way, track: string, change: (feed: Feed) => void): void {
    const feed = this.#feeds.get(key(way, track));
    if (!feed) return;
    const before = { media: feed.media, state: feed.state, paused: feed.paused };
    change(feed);
    for (const [id, shown] of this.#shown) {
      if (shown.feeds.get(key(way, track)) !== feed) continue;
      const wasActive = shown.active === feed;
      this.#choose(id, shown);
      const participant = this.#participants.get(shown.owner);
      if (!wasActive || shown.active !== feed || !participant) return;
      if (feed.media !== before.media) {
        if (feed.media) this.emit('media', { participant, track: { ...feed.track, track: id }, media: feed.media });
        else this.emit('media-ended', { track: id });
      }
      if (feed.state && feed.state !== before.state) this.emit('encryption', { participant: participant.id, track: id, state: feed.state });
      if (feed.paused && feed.paused !== before.paused) this.emit('paused', { track: id, ...feed.paused });
      return;
    }
  }

  #owner(way: Way, participant: RemoteParticipant): { id: string; name: string } | null {
    const owner = this.#resolve(participant);
    return owner === 'hidden' ? null : owner ?? { id: `?${way.name}/${participant.id}`, name: UNKNOWN };
  }

  #ownerOf(way: Way, participant: string): string {
    const found = way.view.participants.get(participant);
    return (found && this.#owner(way, found)?.id) ?? participant;
  }
}

function key(way: Way, track: string): string {
  return `${way.name}/${track}`;
}

function sameTrack(one: Track | undefined, other: Track): boolean {
  return one !== undefined && one.muted === other.muted && one.width === other.width && one.height === other.height && (one.enc === undefined) === (other.enc === undefined);
}
