// A verification, as matrix-js-sdk leads it: over to-device messages, so that no line appears in the room.

import { VerificationPhase, VerificationRequestEvent, VerifierEvent, type ShowSasCallbacks, type VerificationRequest, type Verifier } from 'matrix-js-sdk/lib/crypto-api/verification.js';
import { failureOf, type Verification, type VerificationStep } from './verification.ts';

const SAS = 'm.sas.v1';

export class SdkVerification implements Verification {
  readonly #request: VerificationRequest;
  readonly #listeners = new Set<() => void>();
  #verifier: Verifier | null = null;
  #sas: ShowSasCallbacks | null = null;
  #isConfirmed = false;
  #isMismatch = false;
  #hasFailed = false;
  #isStarting = false;

  constructor(request: VerificationRequest) {
    this.#request = request;
    request.on(VerificationRequestEvent.Change, () => this.#changed());
    this.#changed();
  }

  get user(): string {
    return this.#request.otherUserId;
  }

  get step(): VerificationStep {
    const { phase, initiatedByMe, accepting } = this.#request;
    if (this.#isMismatch) return { is: 'failed', why: 'mismatch' };
    if (phase === VerificationPhase.Done) return { is: 'done' };
    if (phase === VerificationPhase.Cancelled) return { is: 'failed', why: failureOf(this.#request.cancellationCode) };
    if (this.#hasFailed) return { is: 'failed', why: 'error' };
    if (phase <= VerificationPhase.Requested) return { is: initiatedByMe ? 'asked' : accepting ? 'preparing' : 'asks' };
    if (this.#isConfirmed) return { is: 'waiting' };
    const emojis = this.#sas?.sas.emoji?.map(([emoji, name]) => ({ emoji, name }));
    return emojis ? { is: 'compare', emojis } : { is: 'preparing' };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  accept(): void {
    this.#try(this.#request.accept());
  }

  answer(match: boolean): void {
    const sas = this.#sas;
    if (!sas || this.#isConfirmed) return;
    if (match) {
      this.#isConfirmed = true;
      this.#try(sas.confirm());
    } else {
      this.#isMismatch = true;
      sas.mismatch();
    }
    this.#tell();
  }

  cancel(): void {
    if (this.#request.pending) this.#request.cancel().catch(() => undefined);
  }

  #changed(): void {
    const { phase, initiatedByMe, verifier } = this.#request;
    // Whoever asked begins; both at once would be sorted out by the protocol, and need not be.
    if (phase === VerificationPhase.Ready && initiatedByMe && !this.#isStarting) {
      this.#isStarting = true;
      this.#try(this.#request.startVerification(SAS).then((begun) => this.#follow(begun)));
    } else if (phase === VerificationPhase.Started && verifier) this.#follow(verifier);
    this.#tell();
  }

  #follow(verifier: Verifier): void {
    if (this.#verifier) return;
    this.#verifier = verifier;
    const show = (sas: ShowSasCallbacks): void => {
      this.#sas = sas;
      this.#tell();
    };
    verifier.on(VerifierEvent.ShowSas, show);
    const shown = verifier.getShowSasCallbacks();
    if (shown) show(shown);
    this.#try(verifier.verify());
  }

  #try(work: Promise<unknown>): void {
    work.then(
      () => this.#tell(),
      () => {
        // A cancellation has its own reason, which says more.
        this.#hasFailed = this.#request.phase !== VerificationPhase.Cancelled;
        this.#tell();
      },
    );
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
