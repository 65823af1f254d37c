// Offers and answers. We are always the offerer, with one offer under way; what changes meanwhile goes into the next one.

import { askForAudioNack } from './sdp.ts';
import type { PublishedTrack, ServerBody } from './wire.ts';

/** The part of `RTCPeerConnection` that is used here. */
export interface Describable {
  readonly signalingState: string;
  readonly localDescription: { readonly sdp: string } | null;
  setLocalDescription(description?: { type: 'rollback' }): Promise<void>;
  setRemoteDescription(description: { type: 'answer'; sdp: string }): Promise<void>;
  restartIce(): void;
}

export interface NegotiatorOptions {
  /** Published tracks with the mids that the offer gave them. */
  readonly tracks: () => PublishedTrack[];
  /** The id of the sent message, or `null` when there is no session now. */
  readonly send: (offer: { sdp: string; seq: number; tracks: PublishedTrack[] }) => number | null;
  readonly answered: (answer: ServerBody<'answer'>) => void;
  readonly failed: (error: unknown) => void;
  /** An answer came, or a refusal, and there is nothing more to offer. */
  readonly settled?: () => void;
}

export class Negotiator {
  readonly #pc: Describable;
  readonly #options: NegotiatorOptions;
  #seq = 0;
  #outstanding: { seq: number; id: number } | null = null;
  #wanted = false;
  #busy = false;

  constructor(pc: Describable, options: NegotiatorOptions) {
    this.#pc = pc;
    this.#options = options;
  }

  /** No offer is under way, and none is due. */
  get isSettled(): boolean {
    return !this.#wanted && !this.#busy && !this.#outstanding;
  }

  /** Something changed that needs an offer. All changes of one moment share it. */
  request(): void {
    this.#wanted = true;
    queueMicrotask(() => void this.#run());
  }

  restartIce(): void {
    this.#pc.restartIce();
    this.request();
  }

  /** The session was resumed. An answer may have been lost with the socket, so an offer without answer is made again. */
  resumed(): void {
    if (this.#outstanding || this.#pc.signalingState === 'have-local-offer') this.#wanted = true;
    this.#outstanding = null;
    void this.#run();
  }

  async handleAnswer(answer: ServerBody<'answer'>): Promise<void> {
    if (answer.seq !== this.#outstanding?.seq || this.#busy) return;
    this.#busy = true;
    try {
      await this.#pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
      this.#options.answered(answer);
    } catch (error) {
      if (!this.#closed()) this.#options.failed(error);
    } finally {
      this.#outstanding = null;
      this.#busy = false;
    }
    void this.#run();
    if (this.isSettled) this.#options.settled?.();
  }

  /** The focus refused a message. `true` when it was the outstanding offer; it is taken back. */
  async handleRefusal(re: number | undefined): Promise<boolean> {
    if (re === undefined || this.#outstanding?.id !== re) return false;
    this.#outstanding = null;
    if (this.#pc.signalingState === 'have-local-offer') await this.#pc.setLocalDescription({ type: 'rollback' });
    if (this.isSettled) this.#options.settled?.();
    return true;
  }

  async #run(): Promise<void> {
    if (!this.#wanted || this.#busy || this.#outstanding || this.#closed()) return;
    this.#wanted = false;
    this.#busy = true;
    try {
      await this.#pc.setLocalDescription();
      const seq = ++this.#seq;
      const sdp = askForAudioNack(this.#pc.localDescription?.sdp ?? '');
      const id = this.#options.send({ sdp, seq, tracks: this.#options.tracks() });
      // Without a session the offer stands, and is made again by `resumed`.
      this.#outstanding = id === null ? null : { seq, id };
    } catch (error) {
      if (!this.#closed()) this.#options.failed(error);
    } finally {
      this.#busy = false;
    }
    if (this.#wanted) void this.#run();
  }

  #closed(): boolean {
    return this.#pc.signalingState === 'closed';
  }
}
