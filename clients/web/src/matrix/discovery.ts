// The foci that our homeserver offers, asked for in the order of the field. An endpoint that is missing, and one that answers
// with an empty list, both mean "try the next".

import type { Homeserver } from './homeserver.ts';
import { HomeserverError } from './homeserver.ts';
import { transportsOf, type Transport } from './transport.ts';

const ENDPOINT = '/_matrix/client/unstable/org.matrix.msc4143/rtc/transports';
const WELL_KNOWN_KEY = 'org.matrix.msc4143.rtc_foci';

export interface Discovery {
  readonly homeserver: Homeserver;
  /** Gets `/.well-known/matrix/client` of the user's server; `null` if there is none. */
  readonly wellKnown: () => Promise<Readonly<Record<string, unknown>> | null>;
  readonly configured: readonly Transport[];
}

export async function discover({ homeserver, wellKnown, configured }: Discovery): Promise<readonly Transport[]> {
  const offered = await homeserver.request('GET', ENDPOINT).catch((error: unknown) => {
    // No answer at all says nothing about what there is.
    if (error instanceof HomeserverError && error.status === 0) throw error;
    return {};
  });
  const fromEndpoint = transportsOf(offered, 'rtc_transports', 'transports');
  if (fromEndpoint.length > 0) return fromEndpoint;
  const fromWellKnown = transportsOf((await wellKnown().catch(() => null)) ?? {}, WELL_KNOWN_KEY);
  return fromWellKnown.length > 0 ? fromWellKnown : configured;
}

/** The user's own homeserver may be reached under another address than its name; both may hold the file. */
export async function fetchWellKnown(bases: readonly string[]): Promise<Readonly<Record<string, unknown>> | null> {
  for (const base of bases) {
    const answer = await fetch(`${base}/.well-known/matrix/client`).catch(() => null);
    const body: unknown = answer?.ok ? await answer.json().catch(() => null) : null;
    if (typeof body === 'object' && body !== null && WELL_KNOWN_KEY in body) return body as Readonly<Record<string, unknown>>;
  }
  return null;
}
