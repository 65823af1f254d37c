// One medium of one person, which may come in over several ways at once: which of them is shown. What is shown goes on until
// another way has really delivered, so that nobody vanishes when the way changes.

import type { MediaView } from '../call-view.ts';
import type { EncryptionState } from '../e2ee/messages.ts';
import { Emitter } from '../emitter.ts';
import type { RemoteParticipant } from '../roster.ts';
import type { Wish } from '../subscriptions.ts';
import type { Pause, Track } from '../wire.ts';

export interface Way {
  readonly name: string;
  readonly view: MediaView;
  readonly stops: (() => void)[];
}

/** A track as it comes in over one way. */
export interface Feed {
  readonly way: Way;
  readonly track: Track;
  readonly participant: RemoteParticipant;
  media: MediaStreamTrack | null;
  state: EncryptionState | null;
  paused: Paused | null;
  /** The medium that was really played, out of sight. */
  proven: MediaStreamTrack | null;
}

export interface Paused {
  readonly paused: Pause | null;
  readonly rid: string | null;
}

export interface MediumEvents {
  media: { feed: Feed; media: MediaStreamTrack };
  'media-ended': undefined;
  encryption: EncryptionState;
  paused: Paused;
  /** Something was seen to play, so that what is shown may be another. */
  proven: undefined;
}

/** Resolves once a medium plays: that frames were opened does not say that there was a key frame among them. */
export type Plays = (media: MediaStreamTrack) => Promise<void>;

export function feedName(way: Way, track: string): string {
  return `${way.name}/${track}`;
}

export class Medium extends Emitter<MediumEvents> {
  readonly owner: string;
  readonly #plays: Plays;
  /** By the order in which their ways were added. */
  #feeds: readonly Feed[] = [];
  #active: Feed | null = null;

  constructor(owner: string, plays: Plays) {
    super();
    this.owner = owner;
    this.#plays = plays;
  }

  get active(): Feed | null {
    return this.#active;
  }

  has(feed: Feed): boolean {
    return this.#feeds.includes(feed);
  }

  /** The feed whose description counts: the one that is shown, or the first. */
  static described(feeds: readonly Feed[], active: Feed | null): Feed | null {
    return feeds.find((feed) => feed === active) ?? feeds[0] ?? null;
  }

  want(wish: Wish | null): void {
    for (const { way, track } of this.#feeds) way.view.want(track.track, wish);
  }

  /** Of these, from now on. `wish`: of what it is shown at, for those that are new. */
  setFeeds(feeds: readonly Feed[], wish: Wish | undefined): void {
    const fresh = feeds.filter((feed) => !this.#feeds.includes(feed));
    this.#feeds = feeds;
    this.#choose();
    // Last: what is wanted may come in at once.
    for (const { way, track } of fresh) if (wish) way.view.want(track.track, wish);
  }

  /** One of them has changed from `before`. */
  changed(feed: Feed, before: Pick<Feed, 'media' | 'state' | 'paused'>): void {
    const wasActive = this.#active === feed;
    this.#choose();
    if (!wasActive || this.#active !== feed) return;
    if (feed.media !== before.media) this.#tellMedia(feed);
    if (feed.state && feed.state !== before.state) this.emit('encryption', feed.state);
    if (feed.paused && feed.paused !== before.paused) this.emit('paused', feed.paused);
  }

  /** It is gone from everywhere. */
  close(): void {
    if (this.#active?.media) this.emit('media-ended', undefined);
    this.#active = null;
    this.#feeds = [];
  }

  #choose(): void {
    const before = this.#active;
    const feeds = this.#feeds;
    const live = feeds.filter((feed) => feed.media && feed.state === 'ok');
    const held = before && feeds.includes(before) && before.media ? before : null;
    // Of several that deliver, the one of the way that was added last: that is where the call is going.
    // Never back to one that was added before while this one still stands: a late key must not make the picture jump.
    const best = live.filter((feed) => held === null || feeds.indexOf(feed) >= feeds.indexOf(held)).at(-1) ?? null;
    if (best && held && held !== best && held.state === 'ok' && best.proven !== best.media) return this.#prove(best);
    const next = best ?? held ?? feeds.find((feed) => feed.media) ?? feeds[0] ?? null;
    this.#active = next;
    if (next === null || next === before) return;
    if (next.media || before?.media) this.#tellMedia(next);
    if (next.state) this.emit('encryption', next.state);
    if (next.paused) this.emit('paused', next.paused);
  }

  #tellMedia(feed: Feed): void {
    if (feed.media) this.emit('media', { feed, media: feed.media });
    else this.emit('media-ended', undefined);
  }

  #prove(feed: Feed): void {
    const { media } = feed;
    if (!media) return;
    void this.#plays(media).then(() => {
      feed.proven = media;
      this.#choose();
      this.emit('proven', undefined);
    });
  }
}
