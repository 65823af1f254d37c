// What we publish, by source, whatever it goes over: connections come and go, this stays.

import type { PublishView } from './call-view.ts';
import type { Publication } from './media.ts';
import type { Source } from './wire.ts';

export class Publications {
  readonly #bySource = new Map<Source, Publication>();

  publish(source: Source, track: MediaStreamTrack | null, muted: boolean): Publication {
    const publication: Publication = { source, track, muted };
    if (track) track.enabled = !muted;
    this.#bySource.set(source, publication);
    return publication;
  }

  unpublish(source: Source): void {
    this.#bySource.delete(source);
  }

  get(source: Source): Publication | undefined {
    return this.#bySource.get(source);
  }

  sources(): Source[] {
    return [...this.#bySource.keys()];
  }

  all(): Publication[] {
    return [...this.#bySource.values()];
  }

  /** Another device for a published source; `null` lets go of the device while it is muted. */
  replaceTrack(source: Source, track: MediaStreamTrack | null): void {
    const publication = this.#bySource.get(source);
    if (!publication) throw new Error(`${source} is not published`);
    publication.track = track;
    if (track) track.enabled = !publication.muted;
  }

  /** Whether it is published at all. */
  setMuted(source: Source, muted: boolean): boolean {
    const publication = this.#bySource.get(source);
    if (!publication) return false;
    publication.muted = muted;
    if (publication.track) publication.track.enabled = !muted;
    return true;
  }

  /** All of it over one more way. */
  sendOver(way: PublishView): void {
    for (const { source, track, muted } of this.#bySource.values()) way.publish(source, track, muted);
  }
}
