// What others send: who is there with which tracks, which of them are wanted and come in, and whether they open. It outlives the
// connections that they come over.

import type { CallEvents } from './call-types.ts';
import type { EncryptionState } from './e2ee/messages.ts';
import { Emitter } from './emitter.ts';
import type { MediaSession } from './media.ts';
import { Roster, type Change, type RemoteParticipant } from './roster.ts';
import type { SessionKeys } from './session-keys.ts';
import type { Wish } from './subscriptions.ts';
import type { ServerBody } from './wire.ts';

export const RECEIVING_EVENTS = ['participant-joined', 'participant-updated', 'participant-left', 'track-added', 'track-changed', 'track-removed', 'media', 'media-ended', 'encryption'] as const;

export interface ReceivingOptions {
  readonly askKeyFrame: (track: string) => void;
}

export class Receiving extends Emitter<Pick<CallEvents, (typeof RECEIVING_EVENTS)[number]>> {
  readonly #options: ReceivingOptions;
  readonly #roster = new Roster();
  /** Wanted videos; audio is always wanted. */
  readonly #wishes = new Map<string, Wish>();
  readonly #subscribed = new Set<string>();
  readonly #encryptionStates = new Map<string, EncryptionState>();
  #keys: SessionKeys | null = null;
  #media: MediaSession | null = null;

  constructor(options: ReceivingOptions) {
    super();
    this.#options = options;
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#roster.participants;
  }

  encryptionState(track: string): EncryptionState | null {
    return this.#encryptionStates.get(track) ?? null;
  }

  want(track: string, wish: Wish | null): void {
    if (wish) {
      this.#wishes.set(track, wish);
      this.#subscribe(track);
    } else {
      this.#wishes.delete(track);
      this.#unsubscribe(track, false);
    }
  }

  // --- connections

  /** A new session. Nothing comes over it yet. */
  begin(keys: SessionKeys): void {
    this.#keys = keys;
    keys.encryption?.on('state', ({ slot, track, state }) => this.#encryptionChanged(slot, track, state));
  }

  /** Its media can be subscribed to. */
  open(media: MediaSession): void {
    this.#media = media;
  }

  /** Known tracks keep their place on the page, but come over the new connection. */
  subscribeAll(): void {
    for (const { tracks } of this.#roster.participants.values()) for (const track of tracks.keys()) this.#subscribe(track);
  }

  /** The connection is about to end. */
  end(): void {
    for (const track of [...this.#subscribed]) {
      this.#subscribed.delete(track);
      this.#encryptionStates.delete(track);
      this.emit('media-ended', { track });
    }
    this.#media = null;
    this.#keys = null;
  }

  // --- what the focus says

  replace(participants: ServerBody<'welcome'>['participants']): void {
    this.#applyAll(this.#roster.replace(participants));
  }

  participant(body: ServerBody<'participant'>): void {
    this.#applyAll(this.#roster.apply(body));
  }

  mute({ track, muted }: ServerBody<'mute'>): void {
    this.#applyAll(this.#roster.mute(track, muted));
  }

  quality({ participants }: ServerBody<'quality'>): void {
    this.#applyAll(participants.flatMap(({ participant, score }) => this.#roster.quality(participant, score)));
  }

  #applyAll(changes: readonly Change[]): void {
    for (const change of changes) this.#apply(change);
  }

  #apply(change: Change): void {
    const { participant } = change;
    switch (change.what) {
      case 'joined':
      case 'updated':
        // Keys before tracks: the first frame may be on its way.
        this.#keys?.setPeer(participant.id, participant.keys);
        return this.emit(`participant-${change.what}`, participant);
      case 'left':
        this.#keys?.removePeer(participant.id);
        this.#keys?.rotate();
        return this.emit('participant-left', { participant, reason: change.reason });
      case 'track-added':
        this.emit('track-added', { participant, track: change.track });
        return this.#subscribe(change.track.track);
      case 'track-changed':
        this.#subscribe(change.track.track);
        return this.emit('track-changed', { participant, track: change.track });
      case 'track-removed':
        this.#wishes.delete(change.track.track);
        this.#unsubscribe(change.track.track, true);
        return this.emit('track-removed', { participant, track: change.track });
    }
  }

  // --- subscriptions

  #subscribe(id: string): void {
    const found = this.#roster.ownerOf(id);
    const [media, keys] = [this.#media, this.#keys];
    if (!found || !media || !keys) return;
    const { participant, track } = found;
    const wish = track.kind === 'audio' ? {} : this.#wishes.get(id);
    if (!wish) return;
    if (!keys.encryption && track.enc) {
      // Without transforms an encrypted track cannot even be told from noise.
      this.emit('encryption', { participant: participant.id, track: id, state: 'missing-key' });
      return;
    }
    if (keys.ofMembers && !track.enc) {
      // A focus could say anything in the name of a member, if it need not be sealed.
      this.emit('encryption', { participant: participant.id, track: id, state: 'off' });
      return;
    }
    const owner = keys.ofMembers ? (participant.identity ?? '') : participant.id;
    const slot = media.subscribe(track, owner, wish);
    if (this.#subscribed.has(id)) return;
    this.#subscribed.add(id);
    this.emit('media', { participant, track, media: slot.media.receiver.track });
    if (!keys.encryption) this.emit('encryption', { participant: participant.id, track: id, state: 'off' });
  }

  #unsubscribe(id: string, ended: boolean): void {
    if (!this.#subscribed.delete(id)) return;
    this.#media?.unsubscribe(id, ended);
    this.#encryptionStates.delete(id);
    this.emit('media-ended', { track: id });
  }

  #encryptionChanged(slot: string, track: string, state: EncryptionState): void {
    const found = this.#roster.ownerOf(track);
    if (!found || this.#media?.trackOfSlot(slot) !== track) return;
    const before = this.#encryptionStates.get(track);
    this.#encryptionStates.set(track, state);
    // The decoder was fed nothing for a while; it can only go on from a key frame.
    if (state === 'ok' && before !== undefined && found.track.kind === 'video') this.#options.askKeyFrame(track);
    this.emit('encryption', { participant: found.participant.id, track, state });
  }
}
