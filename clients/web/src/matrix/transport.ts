// How a member's media can be reached, as member events, `/rtc/transports` and `.well-known` describe it. It is what
// somebody claims: nothing here says that a focus exists or is who it says it is.

import { isObject, listAt, objectAt, stringAt, type Json } from './json.ts';

/** As the crate `matrixrtc` bounds it. */
const TRANSPORT_BYTES_MAX = 8192;
const TRANSPORTS_MAX = 16;

export interface RustSfu {
  readonly kind: 'rust_sfu';
  readonly url: string | null;
  readonly serviceUrl: string | null;
  readonly sfuId: string | null;
  readonly matrix: { readonly user: string; readonly device: string } | null;
  readonly serverName: string | null;
  readonly json: Json;
}

export interface Livekit {
  readonly kind: 'livekit';
  readonly serviceUrl: string | null;
  readonly url: string | null;
  readonly json: Json;
}

export interface FullMesh {
  readonly kind: 'full_mesh';
  readonly json: Json;
}

/** Of a type that is not known here, or of a known one with something missing: its member is shown as unreachable. */
export interface UnknownTransport {
  readonly kind: 'unknown';
  readonly type: string;
  readonly json: Json;
}

export type Transport = RustSfu | Livekit | FullMesh | UnknownTransport;

const NAMES: Readonly<Record<string, string>> = {
  'org.rust_sfu.rust_sfu': 'rust_sfu',
  'm.livekit': 'livekit',
  'org.rust_sfu.full_mesh': 'full_mesh',
};

/** The name of a transport's type as this program spells it; unknown names stay. */
export function canonicalKind(name: string): string {
  return Object.hasOwn(NAMES, name) ? (NAMES[name] ?? name) : name;
}

/** `null`: no transport at all, which makes the list that holds it invalid. */
export function parseTransport(value: unknown): Transport | null {
  if (!isObject(value)) return null;
  const type = stringAt(value, 'type');
  if (type === null || new TextEncoder().encode(JSON.stringify(value)).length > TRANSPORT_BYTES_MAX) return null;
  const kind = canonicalKind(type);
  const known = kind === 'rust_sfu' ? rustSfu(value) : kind === 'livekit' ? livekit(value) : kind === 'full_mesh' ? fullMesh(value) : null;
  return known ?? { kind: 'unknown', type, json: value };
}

export function parseTransports(list: readonly unknown[]): Transport[] | null {
  const parsed = list.slice(0, TRANSPORTS_MAX).map(parseTransport);
  return parsed.every((transport) => transport !== null) ? parsed : null;
}

/** The transports of a `rtc/transports` answer or a `.well-known` file, without what cannot be read. */
export function transportsOf(object: Json, ...keys: readonly string[]): Transport[] {
  const lists = keys.map((key) => listAt(object, key) ?? []);
  return lists.flat().slice(0, TRANSPORTS_MAX).map(parseTransport).filter((transport) => transport !== null);
}

/** Whether both describe one focus, so that who is connected to one has reached the other. */
export function isSameFocus(one: Transport, other: Transport): boolean {
  if (one.kind === 'rust_sfu' && other.kind === 'rust_sfu') {
    if (one.sfuId && other.sfuId) return one.sfuId === other.sfuId;
    if (one.url && other.url) return one.url === other.url;
    return one.matrix !== null && other.matrix !== null && one.matrix.user === other.matrix.user && one.matrix.device === other.matrix.device;
  }
  if (one.kind === 'livekit' && other.kind === 'livekit') {
    if (one.serviceUrl && other.serviceUrl) return one.serviceUrl === other.serviceUrl;
    return one.url !== null && one.url === other.url;
  }
  return one.kind === 'full_mesh' && other.kind === 'full_mesh';
}

export function kindName(transport: Transport): string {
  return transport.kind === 'unknown' ? transport.type : transport.kind;
}

function rustSfu(json: Json): RustSfu | null {
  const address = objectAt(json, 'matrix');
  const user = address && stringAt(address, 'user_id');
  const device = address && stringAt(address, 'device_id');
  const url = stringAt(json, 'url');
  const matrix = user && device ? { user, device } : null;
  if (url === null && matrix === null) return null;
  return { kind: 'rust_sfu', url, serviceUrl: stringAt(json, 'service_url'), sfuId: stringAt(json, 'sfu_id'), matrix, serverName: stringAt(json, 'server_name'), json };
}

function livekit(json: Json): Livekit | null {
  const serviceUrl = stringAt(json, 'livekit_service_url');
  const url = stringAt(json, 'url');
  return serviceUrl === null && url === null ? null : { kind: 'livekit', serviceUrl, url, json };
}

function fullMesh(json: Json): FullMesh {
  return { kind: 'full_mesh', json };
}
