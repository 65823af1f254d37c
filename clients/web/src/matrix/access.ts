// The right to join at a focus. The user's own homeserver may vouch for him (the focus is its application service); else he
// proves who he is with an OpenID token. That somebody is forbidden to join is final, whichever of the two says so.

import { CallError } from '../errors.ts';
import type { Access } from '../token.ts';
import { HomeserverError, type Homeserver } from './homeserver.ts';
import { isObject, stringAt, type Json } from './json.ts';
import type { RustSfu } from './transport.ts';

const THROUGH_HOMESERVER = '/_matrix/client/unstable/io.element.msc4195/rtc/livekit/rust_sfu/get_token';
const AT_FOCUS = '/_rust_sfu/v1/get_token';

export interface AccessRequest {
  readonly homeserver: Homeserver;
  readonly room: string;
  readonly slot: string;
  readonly memberId: string;
  readonly focus: RustSfu;
  readonly post?: (url: string, body: Json) => Promise<{ status: number; body: Json }>;
}

export interface Right extends Access {
  /** What the focus will call us. */
  readonly identity: string | null;
}

export async function getAccess(request: AccessRequest): Promise<Right> {
  return (await throughHomeserver(request)) ?? (await withOpenId(request));
}

/** `null`: this homeserver cannot. */
async function throughHomeserver({ homeserver, room, slot, memberId, focus }: AccessRequest): Promise<Right | null> {
  const body = { room_id: room, slot_id: slot, member_id: memberId, device_id: homeserver.device, ...(focus.url === null ? {} : { url: focus.url }) };
  try {
    return right(await homeserver.request('POST', THROUGH_HOMESERVER, body), focus);
  } catch (error) {
    if (!(error instanceof HomeserverError)) throw error;
    if (error.unsupported || error.status === 404) return null;
    throw asCallError(error.status, error.errcode, error.message);
  }
}

async function withOpenId({ homeserver, room, slot, memberId, focus, post = postJson }: AccessRequest): Promise<Right> {
  if (focus.serviceUrl === null) throw new CallError('no-token-service', 'the focus names no token service');
  const path = `/_matrix/client/v3/user/${encodeURIComponent(homeserver.user)}/openid/request_token`;
  const openid_token = await homeserver.request('POST', path, {}).catch((error: unknown) => {
    throw error instanceof HomeserverError ? asCallError(error.status, error.errcode, error.message) : error;
  });
  const member = { id: memberId, claimed_user_id: homeserver.user, claimed_device_id: homeserver.device };
  const url = `${focus.serviceUrl.replace(/\/$/, '')}${AT_FOCUS}`;
  const answer = await post(url, { room_id: room, slot_id: slot, openid_token, member }).catch((error: unknown) => {
    throw new CallError('unreachable', String(error));
  });
  if (answer.status === 200) return right(answer.body, focus);
  throw asCallError(answer.status, stringAt(answer.body, 'errcode') ?? 'M_UNKNOWN', stringAt(answer.body, 'error') ?? `status ${answer.status}`);
}

function right(body: Json, focus: RustSfu): Right {
  const token = stringAt(body, 'token');
  const url = stringAt(body, 'url') ?? focus.url;
  if (token === null || url === null) throw new CallError('protocol', 'the token service gave no token');
  const sfuId = stringAt(body, 'sfu_id');
  // The member events name the focus; a token for another one would take us into another call.
  if (sfuId !== null && focus.sfuId !== null && sfuId !== focus.sfuId) throw new CallError('token-refused', 'the token is for another focus');
  return { token, url, identity: stringAt(body, 'identity') };
}

function asCallError(status: number, errcode: string, message: string): CallError {
  if (status === 0 || status >= 500 || status === 429) return new CallError('unreachable', `${errcode}: ${message}`);
  if (status === 404) return new CallError('no-token-service', `${errcode}: ${message}`);
  return new CallError('token-refused', `${errcode}: ${message}`);
}

async function postJson(url: string, body: Json): Promise<{ status: number; body: Json }> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const answer: unknown = await response.json().catch(() => ({}));
  return { status: response.status, body: isObject(answer) ? answer : {} };
}
