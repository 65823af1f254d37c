// One picture of a call that comes in over several ways: our focus, foci of others, and directly from a browser. Everybody is
// shown once, under the member that he is, and each medium of his once.

import type { CallEvents } from '../call.ts';
import type { MediaView } from '../call-view.ts';
import type { EncryptionState } from '../e2ee/messages.ts';
import { Emitter } from '../emitter.ts';
import type { RemoteParticipant } from '../roster.ts';
import type { Wish } from '../subscriptions.ts';
import type { Track } from '../wire.ts';
import { feedName, Medium, type Feed, type Plays, type Way } from './medium.ts';

/** Who is behind a participant of a way; `null`: nobody that we know of; `hidden`: somebody who is not to be shown. */
export type Resolve = (participant: RemoteParticipant) => { readonly id: string; readonly name: string } | 'hidden' | null;

/** What a focus says about the name of one whom no member event names is worth nothing. */
const UNKNOWN = 'Unknown';

export type MergeEvents = { 'changed-over': undefined } & Pick<CallEvents, 'participant-joined' | 'participant-updated' | 'participant-left' | 'track-added' | 'track-changed' | 'track-removed' | 'media' | 'media-ended' | 'paused' | 'speakers' | 'encryption' | 'quality' | 'warning'>;

/** Somebody, as all ways together know him. */
interface Person {
  readonly name: string;
  /** By the id that the page sees: owner and source. */
  readonly feeds: Map<string, Feed[]>;
  identity: string | null;
  quality: RemoteParticipant['quality'];
}

export class Merge extends Emitter<MergeEvents> {
  readonly #resolve: Resolve;
  readonly #plays: Plays;
  readonly #ways = new Map<string, Way>();
  readonly #participants = new Map<string, RemoteParticipant>();
  readonly #shown = new Map<string, Medium>();
  readonly #wishes = new Map<string, Wish>();
  /** Each way tells of those that it hears. */
  readonly #speakers = new Map<string, { participant: string; level: number }[]>();
  /** By way and track, whoever they belong to: that may become known only later. */
  #feeds = new Map<string, Feed>();
  /** Members without any medium are shown as well. */
  #members = new Map<string, string>();

  constructor(resolve: Resolve, plays: Plays) {
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
    for (const type of ['participant-joined', 'participant-updated', 'participant-left', 'track-added', 'track-changed', 'track-removed'] as const) way.stops.push(view.on(type, refresh));
    way.stops.push(
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
    this.#shown.get(id)?.want(wish);
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
    const people = this.#people();
    for (const [id, participant] of [...this.#participants]) {
      if (people.has(id)) continue;
      for (const track of participant.tracks.values()) this.#dropTrack(participant, track);
      this.#participants.delete(id);
      this.emit('participant-left', { participant, reason: 'left' });
    }
    for (const [id, person] of people) this.#apply(id, person);
  }

  /** Everybody who is a member or comes in over some way. */
  #people(): Map<string, Person> {
    const people = new Map<string, Person>();
    const personOf = ({ id, name }: { readonly id: string; readonly name: string }): Person => {
      const person = people.get(id) ?? { name, feeds: new Map<string, Feed[]>(), identity: null, quality: null };
      people.set(id, person);
      return person;
    };
    for (const [id, name] of this.#members) personOf({ id, name });
    const feeds = new Map<string, Feed>();
    for (const way of this.#ways.values()) {
      for (const participant of way.view.participants.values()) {
        const owner = this.#owner(way, participant);
        const person = owner && personOf(owner);
        if (person) {
          person.identity = participant.identity;
          person.quality = participant.quality ?? person.quality;
        }
        for (const track of participant.tracks.values()) {
          const name = feedName(way, track.track);
          const known = this.#feeds.get(name);
          const feed: Feed = known ? Object.assign(known, { track, participant }) : { way, track, participant, media: null, state: null, paused: null, proven: null };
          // Also of those who are not shown now: they may be again.
          feeds.set(name, feed);
          if (!owner || !person) continue;
          const id = `${owner.id}/${track.source}`;
          person.feeds.set(id, [...(person.feeds.get(id) ?? []), feed]);
        }
      }
    }
    this.#feeds = feeds;
    return people;
  }

  #apply(id: string, { name, feeds: tracks, identity, quality }: Person): void {
    const before = this.#participants.get(id);
    const shown = new Map<string, Track>();
    for (const [track, feeds] of tracks) {
      const described = Medium.described(feeds, this.#shown.get(track)?.active ?? null);
      if (described) shown.set(track, { ...described.track, track });
    }
    const participant: RemoteParticipant = { id, name, identity, keys: [], tracks: shown, quality };
    this.#participants.set(id, participant);
    if (!before) this.emit('participant-joined', participant);
    else if (before.name !== name || before.quality !== quality) this.emit('participant-updated', participant);
    for (const track of before?.tracks.values() ?? []) if (!shown.has(track.track)) this.#dropTrack(participant, track);
    for (const track of shown.values()) {
      const known = this.#shown.get(track.track);
      const medium = known ?? this.#newMedium(id, track.track);
      if (!known) this.emit('track-added', { participant, track });
      else if (!sameTrack(before?.tracks.get(track.track), track)) this.emit('track-changed', { participant, track });
      medium.setFeeds(tracks.get(track.track) ?? [], this.#wishes.get(track.track));
    }
  }

  #newMedium(owner: string, id: string): Medium {
    const medium = new Medium(owner, this.#plays);
    this.#shown.set(id, medium);
    medium.on('media', ({ feed, media }) => {
      const participant = this.#participants.get(owner);
      if (participant) this.emit('media', { participant, track: { ...feed.track, track: id }, media });
    });
    medium.on('media-ended', () => this.emit('media-ended', { track: id }));
    medium.on('encryption', (state) => this.emit('encryption', { participant: owner, track: id, state }));
    medium.on('paused', (paused) => this.emit('paused', { track: id, ...paused }));
    medium.on('proven', () => this.emit('changed-over', undefined));
    return medium;
  }

  #dropTrack(participant: RemoteParticipant, track: Track): void {
    this.#shown.get(track.track)?.close();
    this.#shown.delete(track.track);
    this.#wishes.delete(track.track);
    this.emit('track-removed', { participant, track });
  }

  #feed(way: Way, track: string, change: (feed: Feed) => void): void {
    const feed = this.#feeds.get(feedName(way, track));
    if (!feed) return;
    const before = { media: feed.media, state: feed.state, paused: feed.paused };
    change(feed);
    for (const medium of this.#shown.values()) if (medium.has(feed)) return medium.changed(feed, before);
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

function sameTrack(one: Track | undefined, other: Track): boolean {
  return one !== undefined && one.muted === other.muted && one.width === other.width && one.height === other.height && (one.enc === undefined) === (other.enc === undefined);
}
