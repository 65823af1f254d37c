// What a page needs of a call. `Call` is one, over one focus; a call in a Matrix room may go over several ways at once.

import type { CallEvents, CallState } from './call.ts';
import type { Counters } from './e2ee/link.ts';
import type { Listener } from './emitter.ts';
import type { SignallingWay } from './line.ts';
import type { Publication } from './media.ts';
import type { RemoteParticipant } from './roster.ts';
import type { Reading } from './stats.ts';
import type { Wish } from './subscriptions.ts';
import type { Source } from './wire.ts';

/** A source of others' media. */
export interface MediaView {
  readonly participants: ReadonlyMap<string, RemoteParticipant>;
  on<K extends keyof CallEvents>(type: K, listener: Listener<CallEvents[K]>): () => void;
  want(track: string, wish: Wish | null): void;
}

/** What takes our own media. */
export interface PublishView {
  publish(source: Source, track: MediaStreamTrack | null, muted?: boolean): void;
  unpublish(source: Source): void;
  replaceTrack(source: Source, track: MediaStreamTrack | null): Promise<void>;
  setMuted(source: Source, muted: boolean): void;
}

export interface CallView extends MediaView, PublishView {
  readonly state: CallState;
  readonly participantId: string | null;
  readonly encrypting: boolean;
  /** How we talk to the server that takes our media; `null`: just now there is none, or we do not. */
  readonly signalling: SignallingWay | null;
  publication(source: Source): Readonly<Publication> | undefined;
  stats(): Promise<(Reading & { readonly frames: Counters }) | null>;
  leave(): void;
}
