// When there is a new key: the two policies of the field, as `matrixrtc::keys::Policy` has them.

export type Policy =
  /**
   * A join makes a new key, unless the present one is younger than this: then the newcomer is told that one. A leave makes a new
   * key, always.
   */
  | { readonly is: 'fixed_grace'; readonly graceMs: number }
  /** A newcomer is told the present key, and a new one comes after a window that grows with the square of the call. */
  | { readonly is: 'scaled'; readonly perMinute: number; readonly leaves: 'at_once' | 'window' };

export interface KeyRules {
  readonly policy: Policy;
  /** Between the sending of a key and its use. One who left can listen for so long. */
  readonly useDelayMs: number;
  /** No key is used much longer. `null`: as long as nobody joins or leaves. */
  readonly ttlMs: number | null;
}

export const FIXED: KeyRules = { policy: { is: 'fixed_grace', graceMs: 10_000 }, useDelayMs: 1_000, ttlMs: null };
export const SCALED: KeyRules = { policy: { is: 'scaled', perMinute: 6000, leaves: 'at_once' }, useDelayMs: 1_000, ttlMs: 15 * 60_000 };

/** How far apart rotations are for the call's size, ourselves counted: n members send n - 1 messages each. */
export function windowMs(policy: Policy, members: number): number {
  if (policy.is === 'fixed_grace') return 0;
  return Math.floor((members * Math.max(0, members - 1) * 60_000) / Math.max(1, policy.perMinute));
}
