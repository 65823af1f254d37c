// Two people compare emojis (SAS): where that stands, as a page shows it. `sdk-verification.ts` fills it with matrix-js-sdk.

export interface Emoji {
  readonly emoji: string;
  readonly name: string;
}

export type VerificationStep =
  /** The other one is asked. */
  | { readonly is: 'asked' }
  /** We are asked. */
  | { readonly is: 'asks' }
  /** Both are willing; the devices agree on what to show. */
  | { readonly is: 'preparing' }
  | { readonly is: 'compare'; readonly emojis: readonly Emoji[] }
  /** We said that they match; the other one has yet to. */
  | { readonly is: 'waiting' }
  | { readonly is: 'done' }
  | { readonly is: 'failed'; readonly why: VerificationFailure };

export type VerificationFailure = 'mismatch' | 'cancelled' | 'timeout' | 'error';

export interface Verification {
  readonly user: string;
  readonly step: VerificationStep;
  onChange(listener: () => void): () => void;
  /** We were asked, and are willing. */
  accept(): void;
  /** Whether both see the same. */
  answer(match: boolean): void;
  cancel(): void;
}

/** Whoever can verify others. */
export interface Verifier {
  /** Asks the owner of this device. */
  verify(user: string, device: string): Promise<Verification>;
  onVerification(listener: (verification: Verification) => void): () => void;
}

/** What a code of `m.key.verification.cancel` means. */
export function failureOf(code: string | null): VerificationFailure {
  if (code === 'm.mismatched_sas' || code === 'm.key_mismatch' || code === 'm.mismatched_commitment') return 'mismatch';
  if (code === 'm.timeout') return 'timeout';
  return code === null || code === 'm.user' || code === 'm.accepted' ? 'cancelled' : 'error';
}
