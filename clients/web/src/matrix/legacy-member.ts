// `org.matrix.msc3401.call.member`: room state, one event per device. What every deployed client reads and writes.

import * as fields from './fields.ts';
import type { RawEvent } from './homeserver.ts';
import type { Json } from './json.ts';
import type { Claim, Membership } from './membership.ts';
import { canonicalKind, kindName, parseTransports, type Transport } from './transport.ts';

/** Where clients with a closed list of types do not look: an entry that they do not know makes the member vanish there. */
export const TRANSPORTS_KEY = 'org.rust_sfu.transports';
export const CAN_SUBSCRIBE_KEY = 'org.rust_sfu.can_subscribe';
/** What the reference client sets, and what is assumed where an event does not say. */
export const EXPIRES_MS = 4 * 60 * 60 * 1000;

const KEYS_OF_LEAVE: readonly string[] = ['leave_reason', 'slot_id', 'msc4354_sticky_key'];
const TRANSPORTS_MAX = 16;
const ROOM = 'ROOM';

export function readLegacy(event: RawEvent): Claim {
  const { content, stateKey, sender } = event;
  if (stateKey === undefined) throw new fields.Refused('not_member');
  if (!owns(sender, stateKey)) throw new fields.Refused('foreign_state_key');
  if (event.redacted || Object.keys(content).every((key) => KEYS_OF_LEAVE.includes(key))) return { is: 'left', leave: fields.leaveOf(content) };
  if ('memberships' in content) throw new fields.Refused('old_list');
  return { is: 'joined', membership: joined(event) };
}

function joined({ content, sender, originServerTs, eventId }: RawEvent): Membership {
  const device = fields.text(content, 'device_id');
  if (device === '') throw new fields.Refused('bad_field device_id');
  const callId = fields.text(content, 'call_id');
  const application = fields.text(content, 'application');
  const active = fields.object(content, 'focus_active');
  if (typeof active['type'] !== 'string') throw new fields.Refused('bad_field focus_active');
  fields.optionalText(content, 'scope');
  const memberId = fields.optionalText(content, 'membershipID') || `${sender}:${device}`;
  // One who claims to have joined later than it said so would stay longer, too.
  const createdAt = Math.min(fields.optionalMillis(content, 'created_ts') ?? originServerTs, originServerTs);
  const transports = readTransports(content);
  const isOurs = active['type'] === 'rust_sfu' || TRANSPORTS_KEY in content;
  const announced = fields.optionalTexts(content, CAN_SUBSCRIBE_KEY)?.map(canonicalKind);
  // Today's clients all receive over LiveKit, whether or not they announce one of their own.
  const assumed = [...new Set([...transports.map(kindName), ...(isOurs ? [] : ['livekit'])])].sort();
  const selection = active['focus_selection'];
  return {
    user: sender,
    device,
    deviceFrom: 'content',
    memberId,
    slot: fields.slotId(`${application}#${callId === '' ? ROOM : callId}`),
    application,
    intent: fields.optionalText(content, 'm.call.intent'),
    capabilities: fields.optionalTexts(content, 'capabilities') ?? [],
    createdAt,
    expiresAt: createdAt + (fields.optionalMillis(content, 'expires') ?? EXPIRES_MS),
    transports,
    canSubscribe: announced ?? assumed,
    selection: typeof selection === 'string' ? selection : '',
    eventId,
    sentAt: originServerTs,
    form: 'legacy',
  };
}

/** Those of the side key first: who has it publishes there, and to the others only for those who know nothing else. */
function readTransports(content: Json): Transport[] {
  const list = (key: string): Transport[] => {
    const value = content[key];
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw new fields.Refused(`bad_field ${key}`);
    const parsed = parseTransports(value);
    if (!parsed) throw new fields.Refused('bad_transport');
    return parsed;
  };
  return [...list(TRANSPORTS_KEY), ...list('foci_preferred')].slice(0, TRANSPORTS_MAX);
}

/** `user`, `user_…` or `_user_…`: room state lets whoever has the power write anybody's key. */
export function owns(user: string, stateKey: string): boolean {
  const key = stateKey.startsWith('_') ? stateKey.slice(1) : stateKey;
  return key === user || key.startsWith(`${user}_`);
}

export function stateKey(roomVersion: string, user: string, device: string, slot: string): string {
  const owned = roomVersion.startsWith('org.matrix.msc3757') || roomVersion.startsWith('org.matrix.msc3779');
  const [application = '', id = ''] = slot.split('#');
  return `${owned ? '' : '_'}${user}_${device}_${application}${id === ROOM ? '' : id}`;
}

/** Which readers an event is written for. */
export type Profile =
  /** All clients of today: nobody's takes it for a leave, and those that know `rust_sfu` find it in the side key. */
  | 'interop'
  /** Only those that know `rust_sfu`. Others show the member as having left. */
  | 'pure';

export interface Join {
  readonly device: string;
  readonly memberId: string;
  readonly slot: string;
  readonly transports: readonly Transport[];
  readonly intent: string;
  /** `null` with the first event of this join. */
  readonly createdAt: number | null;
  readonly expiresMs: number;
  readonly profile: Profile;
}

export function joinContent(join: Join): Json {
  const [application, id] = join.slot.split('#');
  const transports = join.transports.map(({ json }) => json);
  const canSubscribe = [...new Set(join.transports.map(kindName))];
  const ways =
    join.profile === 'pure'
      ? { focus_active: { type: 'rust_sfu', focus_selection: 'multi_sfu' }, foci_preferred: transports }
      : { focus_active: { type: 'livekit', focus_selection: 'multi_sfu' }, foci_preferred: [], [TRANSPORTS_KEY]: transports };
  return {
    application,
    call_id: id === ROOM ? '' : id,
    scope: 'm.room',
    device_id: join.device,
    membershipID: join.memberId,
    expires: join.expiresMs,
    ...(join.createdAt === null ? {} : { created_ts: join.createdAt }),
    'm.call.intent': join.intent,
    ...ways,
    [CAN_SUBSCRIBE_KEY]: canSubscribe,
  };
}
