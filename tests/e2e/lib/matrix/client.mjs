// The client-server API of Matrix, raw: what tests ask a homeserver beside what the page does.

import { createHmac } from 'node:crypto';

const REQUEST_MS = 20_000;

export class MatrixError extends Error {
  constructor(status, body, what) {
    super(`${what}: ${status} ${body?.errcode ?? ''} ${body?.error ?? ''}`.trim());
    this.status = status;
    this.errcode = body?.errcode ?? null;
    this.body = body;
  }
}

/** One request to `origin`; the answer's JSON, or a `MatrixError`. `path` begins behind `/_matrix/client`, or with `/_synapse`. */
export async function request(origin, method, path, { token = null, body, query = {} } = {}) {
  const url = new URL(path.startsWith('/_synapse') || path.startsWith('/.well-known') ? path : `/_matrix/client${path}`, origin);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const response = await fetch(url, {
    method,
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(REQUEST_MS),
  });
  const text = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = { error: text.slice(0, 200) };
  }
  if (!response.ok) throw new MatrixError(response.status, answer, `${method} ${url.pathname}`);
  return answer;
}

/** Makes a user with Synapse's shared secret: no captcha, no e-mail, no rate. */
export async function registerUser(homeserver, localpart, password) {
  const path = '/_synapse/admin/v1/register';
  const { nonce } = await request(homeserver.origin, 'GET', path);
  const mac = createHmac('sha1', homeserver.registrationSecret).update([nonce, localpart, password, 'notadmin'].join('\0')).digest('hex');
  const { user_id, access_token, device_id } = await request(homeserver.origin, 'POST', path, { body: { nonce, username: localpart, password, mac } });
  return new MatrixUser(homeserver, { id: user_id, localpart, password, token: access_token, device: device_id });
}

const at = encodeURIComponent;

/** A user, logged in on one device. */
export class MatrixUser {
  constructor(homeserver, { id, localpart, password, token, device }) {
    Object.assign(this, { homeserver, id, localpart, password, token, device });
    this.transactions = 0;
  }

  call(method, path, body, query) {
    return request(this.homeserver.origin, method, path, { token: this.token, body, query });
  }

  /** The same user on another device. */
  async login(device = undefined) {
    const identifier = { type: 'm.id.user', user: this.localpart };
    const body = { type: 'm.login.password', identifier, password: this.password, ...(device ? { device_id: device } : {}) };
    const { access_token, device_id } = await request(this.homeserver.origin, 'POST', '/v3/login', { body });
    return new MatrixUser(this.homeserver, { ...this, token: access_token, device: device_id });
  }

  /** An encrypted room in which everybody may call. Returns its id. */
  async createRoom({ invite = [], name = 'A call', encrypted = true } = {}) {
    const memberEvents = ['org.matrix.msc3401.call.member', 'org.matrix.msc4143.rtc.member', 'm.rtc.member'];
    const { room_id } = await this.call('POST', '/v3/createRoom', {
      name,
      preset: 'private_chat',
      invite: invite.map((user) => user.id),
      initial_state: encrypted ? [{ type: 'm.room.encryption', state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }] : [],
      power_level_content_override: { events: Object.fromEntries(memberEvents.map((type) => [type, 0])) },
    });
    return room_id;
  }

  /** Joins by way of `via`'s homeserver. */
  join(room, via = this) {
    return this.call('POST', `/v3/join/${at(room)}`, {}, { via: via.homeserver.serverName });
  }

  invite(room, user) {
    return this.call('POST', `/v3/rooms/${at(room)}/invite`, { user_id: user.id });
  }

  leave(room) {
    return this.call('POST', `/v3/rooms/${at(room)}/leave`, {});
  }

  kick(room, user, reason = 'test') {
    return this.call('POST', `/v3/rooms/${at(room)}/kick`, { user_id: user.id, reason });
  }

  state(room, type, key = '') {
    return this.call('GET', `/v3/rooms/${at(room)}/state/${at(type)}/${at(key)}`);
  }

  allState(room) {
    return this.call('GET', `/v3/rooms/${at(room)}/state`);
  }

  setState(room, type, key, content, query) {
    return this.call('PUT', `/v3/rooms/${at(room)}/state/${at(type)}/${at(key)}`, content, query);
  }

  /** What the homeserver will send for the user unless it is told otherwise (MSC4140). */
  async delayedEvents() {
    return (await this.call('GET', '/unstable/org.matrix.msc4140/delayed_events')).delayed_events;
  }

  openidToken() {
    return this.call('POST', `/v3/user/${at(this.id)}/openid/request_token`, {});
  }

  /** The transports that the homeserver offers. */
  async transports() {
    const answer = await this.call('GET', '/unstable/org.matrix.msc4143/rtc/transports');
    return answer.rtc_transports ?? answer.transports ?? [];
  }
}
