// Who is in the conference and what they publish. `replace` and `apply` tell what changed; nothing here does IO.

import type { KeySalt, LeaveReason, Participant, Score, ServerBody, Track } from './wire.ts';

export interface RemoteParticipant {
  readonly id: string;
  /** Whom its token named; `null` at a focus that does not say. */
  readonly identity: string | null;
  readonly name: string;
  readonly keys: readonly KeySalt[];
  readonly tracks: ReadonlyMap<string, Track>;
  readonly quality: Score | null;
}

export type Change =
  | { readonly what: 'joined' | 'updated'; readonly participant: RemoteParticipant }
  | { readonly what: 'left'; readonly participant: RemoteParticipant; readonly reason: LeaveReason }
  | { readonly what: 'track-added' | 'track-changed' | 'track-removed'; readonly participant: RemoteParticipant; readonly track: Track };

function remote(participant: Participant, quality: Score | null): RemoteParticipant {
  const tracks = new Map(participant.tracks.map((track) => [track.track, track]));
  return { id: participant.id, identity: participant.identity ?? null, name: participant.name, keys: participant.keys ?? [], tracks, quality };
}

export class Roster {
  readonly #participants = new Map<string, RemoteParticipant>();

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#participants;
  }

  ownerOf(track: string): { participant: RemoteParticipant; track: Track } | null {
    for (const participant of this.#participants.values()) {
      const found = participant.tracks.get(track);
      if (found) return { participant, track: found };
    }
    return null;
  }

  /** Everybody, as `welcome` lists them. */
  replace(participants: readonly Participant[]): Change[] {
    const present = new Set(participants.map(({ id }) => id));
    const gone = [...this.#participants.keys()].filter((id) => !present.has(id));
    return [...gone.flatMap((id) => this.#remove(id, 'lost')), ...participants.flatMap((participant) => this.#put(participant))];
  }

  apply(event: ServerBody<'participant'>): Change[] {
    return event.event === 'left' ? this.#remove(event.id, event.reason) : this.#put(event.participant);
  }

  mute(trackId: string, muted: boolean): Change[] {
    const found = this.ownerOf(trackId);
    if (!found || found.track.muted === muted) return [];
    const track = { ...found.track, muted };
    const participant = { ...found.participant, tracks: new Map(found.participant.tracks).set(trackId, track) };
    this.#participants.set(participant.id, participant);
    return [{ what: 'track-changed', participant, track }];
  }

  quality(id: string, score: Score): Change[] {
    const before = this.#participants.get(id);
    if (!before || before.quality === score) return [];
    const participant = { ...before, quality: score };
    this.#participants.set(id, participant);
    return [{ what: 'updated', participant }];
  }

  #put(wire: Participant): Change[] {
    const before = this.#participants.get(wire.id);
    const participant = remote(wire, before?.quality ?? null);
    this.#participants.set(wire.id, participant);
    const changes: Change[] = [{ what: before ? 'updated' : 'joined', participant }];
    for (const track of before?.tracks.values() ?? []) {
      if (!participant.tracks.has(track.track)) changes.push({ what: 'track-removed', participant, track });
    }
    for (const track of participant.tracks.values()) {
      changes.push({ what: before?.tracks.has(track.track) ? 'track-changed' : 'track-added', participant, track });
    }
    return changes;
  }

  #remove(id: string, reason: LeaveReason): Change[] {
    const participant = this.#participants.get(id);
    if (!participant) return [];
    this.#participants.delete(id);
    const removed = [...participant.tracks.values()].map((track): Change => ({ what: 'track-removed', participant, track }));
    return [...removed, { what: 'left', participant, reason }];
  }
}
