// Opens the frames of one receive slot and judges how the slot stands.

import { openFrame, type Codec } from './frame.ts';
import { parseHeader } from './header.ts';
import type { OpeningKey } from './keys.ts';
import type { EncryptionState, Expectation } from './messages.ts';
import { open, type Bytes } from './sframe.ts';

/** The keys of the others: `PeerKeys` or `MemberKeys`. */
export interface KeysOfOthers {
  find(owner: string, kid: bigint): Promise<{ opening: OpeningKey; commit: () => OpeningKey } | null>;
}

type Refusal = 'missing-key' | 'failed' | 'replayed';

class Refused extends Error {
  readonly why: Refusal;
  constructor(why: Refusal) {
    super(why);
    this.why = why;
  }
}

/**
 * When a slot is given to another sender, frames of the sender before are still under way and cannot be opened. Only when
 * nothing else comes for this long, and at least this many frames, the slot is said to be broken.
 */
const PATIENCE_MS = 400;
const PATIENCE_FRAMES = 4;

export class SlotOpener {
  readonly #report: (track: string, state: EncryptionState) => void;
  #expectation: Expectation | null = null;
  #state: EncryptionState | null = null;
  #refused = 0;
  #refusedSince = 0;

  constructor(report: (track: string, state: EncryptionState) => void) {
    this.#report = report;
  }

  expect(expectation: Expectation | null): void {
    const before = this.#expectation;
    this.#expectation = expectation;
    if (before?.track === expectation?.track && before?.encrypted === expectation?.encrypted) return;
    this.#state = null;
    this.#refused = 0;
  }

  /** The frame to play, or `null` for a frame that must not be played. `keys` is `null` without a secret. */
  async handle(frame: Bytes, codec: Codec | null, keys: KeysOfOthers | null, now: number): Promise<Bytes | null> {
    const expectation = this.#expectation;
    if (!expectation || frame.length === 0) return null;
    if (!expectation.encrypted) {
      this.#become('off', expectation);
      return frame;
    }
    try {
      if (!keys) throw new Refused('missing-key');
      if (!codec) throw new Refused('failed');
      const opened = await openFrame(codec, frame, (metadata, sealed) => openSealed(keys, expectation.owner, metadata, sealed));
      // The slot may have been given away while the frame was being opened.
      if (this.#expectation?.track !== expectation.track) return null;
      const wasInterrupted = this.#refused > 0 && this.#state === 'ok';
      this.#refused = 0;
      // Said again: the decoder missed frames, perhaps the key frame that a new key begins with.
      if (wasInterrupted) this.#report(expectation.track, 'ok');
      else this.#become('ok', expectation);
      return opened;
    } catch (error) {
      // A frame that came twice says nothing about the key, it is just not played again.
      const why = error instanceof Refused ? error.why : 'failed';
      if (why !== 'replayed' && this.#expectation?.track === expectation.track) this.#refuse(why, expectation, now);
      return null;
    }
  }

  #refuse(why: 'missing-key' | 'failed', expectation: Expectation, now: number): void {
    if (this.#refused === 0) this.#refusedSince = now;
    this.#refused++;
    if (this.#refused >= PATIENCE_FRAMES && now - this.#refusedSince >= PATIENCE_MS) this.#become(why, expectation);
  }

  #become(state: EncryptionState, expectation: Expectation): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#report(expectation.track, state);
  }
}

async function openSealed(keys: KeysOfOthers, owner: string, metadata: Uint8Array, sealed: Bytes): Promise<Bytes> {
  const header = parseHeader(sealed);
  if (!header) throw new Refused('failed');
  const found = await keys.find(owner, header.kid);
  if (!found) throw new Refused('missing-key');
  if (!found.opening.replay.fresh(header.ctr)) throw new Refused('replayed');
  const plaintext = await open(found.opening.key, header, metadata, sealed);
  if (!plaintext) throw new Refused('failed');
  // Asked again: another frame with the same counter may have been opened meanwhile.
  const { replay } = found.commit();
  if (!replay.fresh(header.ctr)) throw new Refused('replayed');
  replay.mark(header.ctr);
  return plaintext;
}
