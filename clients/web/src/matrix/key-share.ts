// How far we are with telling one member one key.

export type Share =
  | { readonly is: 'due'; readonly at: number; readonly tries: number }
  | { readonly is: 'sending'; readonly request: number; readonly until: number; readonly tries: number }
  | { readonly is: 'told' };
export type Due = Extract<Share, { is: 'due' }>;

/** A message that has no outcome for so long counts as lost. */
export const SEND_TIMEOUT_MS = 10_000;
/** Between two tries, doubled each time. */
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 30_000;
const DOUBLINGS_MAX = 6;

/** It could not be told. */
export function again(now: number, tries: number): Due {
  return { is: 'due', at: now + Math.min(RETRY_MS * 2 ** Math.min(tries, DOUBLINGS_MAX), RETRY_MS_MAX), tries: tries + 1 };
}

/** When it is to be told (again); `null`: not as things stand. */
export function dueAt(share: Share, now: number): Due | null {
  if (share.is === 'due') return share;
  return share.is === 'sending' && share.until <= now ? again(now, share.tries) : null;
}
