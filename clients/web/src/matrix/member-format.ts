// How our own member event is written. Every client reads room state; a sticky event is what MSC4143 asks for, and what only the
// newest read.

import { HomeserverError, type Homeserver } from './homeserver.ts';
import { objectAt, type Json } from './json.ts';

export type MemberFormat =
  /** `org.matrix.msc3401.call.member`, room state. */
  | 'state'
  /** `org.matrix.msc4143.rtc.member`, a sticky event (MSC4354). */
  | 'sticky';

const FEATURE = 'org.matrix.msc4354';

/** `versions`: the homeserver's answer. One that does not announce sticky events sends them as any other: soon nobody would see us. */
export function chooseFormat(wanted: MemberFormat, versions: Json): MemberFormat {
  return wanted === 'sticky' && objectAt(versions, 'unstable_features')?.[FEATURE] === true ? 'sticky' : 'state';
}

export async function formatAt(homeserver: Homeserver, wanted: MemberFormat): Promise<MemberFormat> {
  if (wanted === 'state') return wanted;
  const versions = await homeserver.request('GET', '/_matrix/client/versions').catch((error: unknown) => {
    if (error instanceof HomeserverError) return {};
    throw error;
  });
  return chooseFormat(wanted, versions);
}
