// A participant without a browser: the native dialect over a WebSocket, as far as being let in and being put out.

import { until } from '../wait.mjs';

/** `grant`: the answer of `get_token`. Returns when the focus has said welcome, or throws what it said instead. */
export async function enter(grant) {
  const socket = new WebSocket(grant.url, 'rust-sfu.v1');
  const one = { messages: [], closed: null, welcome: null };
  one.find = (type) => one.messages.find(({ t }) => t === type)?.b;
  one.send = (t, b) => socket.send(JSON.stringify({ t, b }));
  one.close = () => socket.close();
  socket.onopen = () => one.send('hello', { v: 1, token: grant.token });
  socket.onmessage = ({ data }) => one.messages.push(JSON.parse(data));
  socket.onclose = ({ code }) => (one.closed = { code, at: Date.now() });
  await until('the focus answers', () => one.find('welcome') ?? one.find('error') ?? one.closed, { describe: () => one.messages, pollMs: 10 });
  one.welcome = one.find('welcome') ?? null;
  if (!one.welcome) throw new Error(`not let in: ${JSON.stringify(one.find('error') ?? one.closed)}`);
  return one;
}

/** What the page asks first: the user's own homeserver hands it to the focus. */
export const getToken = (user, room, { member = `${user.id}:${user.device}`, slot = 'm.call#ROOM', ...rest } = {}) =>
  user.call('POST', '/unstable/io.element.msc4195/rtc/livekit/rust_sfu/get_token', { room_id: room, slot_id: slot, member_id: member, device_id: user.device, ...rest });
