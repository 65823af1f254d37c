import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError } from '../../src/errors.ts';
import { getAccess } from '../../src/matrix/access.ts';
import { discover } from '../../src/matrix/discovery.ts';
import { ANSWER_MS, enter } from '../../src/matrix/enter.ts';
import type { HomeserverError } from '../../src/matrix/homeserver.ts';
import type { Json } from '../../src/matrix/json.ts';
import { parseMatrixRoute } from '../../src/matrix/login.ts';
import { readMesh, readTracks, meshContent, MESH_TYPE, weOffer } from '../../src/matrix/mesh-message.ts';
import { byDevice } from '../../src/matrix/post.ts';
import { parseTransport, type RustSfu } from '../../src/matrix/transport.ts';
import { distinctFoci, nameOf, reach, SHRINK_AFTER_MS, topology } from '../../src/matrix/ways.ts';
import { FakeClock } from './helpers.ts';
import { FakeHomeserver, member, refusal, settle } from './matrix-helpers.ts';

const BY_DEVICE = { type: 'rust_sfu', matrix: { user_id: '@f:x', device_id: 'F' } };
const MESH = [{ type: 'rust_sfu', url: 'wss://a', sfu_id: 'a' }, { type: 'full_mesh' }];

test('two who can connect directly do, three do not, and two who are left wait', () => {
  const [a, b, c] = [member('@a:x', {}, MESH), member('@b:x', { createdAt: 10 }, MESH), member('@c:x', { createdAt: 20 }, MESH)];
  assert.deepEqual(topology([a], null, 0), { is: 'alone' });
  assert.deepEqual(topology([a, b], null, 10), { is: 'mesh' });
  assert.deepEqual(topology([a, b, c], null, 20), { is: 'focus', until: null });
  assert.deepEqual(topology([a, b], 30, 30), { is: 'focus', until: 30 + SHRINK_AFTER_MS });
  assert.deepEqual(topology([a, b], 30, 30 + SHRINK_AFTER_MS), { is: 'mesh' });
  assert.deepEqual(topology([a, { ...b, createdAt: 40 }], 30, 40), { is: 'mesh' }, 'who joined after that needs not wait');
  assert.deepEqual(topology([a, { ...b, canSubscribe: ['rust_sfu'] }], null, 10), { is: 'focus', until: null });
  assert.deepEqual(topology([a, member('@b:x')], null, 10), { is: 'focus', until: null });
});

test('who is reached how', () => {
  const a = member('@a:x');
  const livekit = member('@l:x', {}, [{ type: 'livekit', livekit_service_url: 'https://lk' }]);
  const remote = member('@r:x', {}, [{ type: 'livekit', livekit_service_url: 'https://lk' }, { type: 'rust_sfu', url: 'wss://r' }]);
  const everybody = [a, livekit, remote];
  const way = (one: typeof a): string => {
    const found = reach(one, everybody, false);
    return found.by === 'focus' ? (found.focus.url ?? found.focus.matrix?.device ?? '') : found.by === 'nothing' ? found.why : found.by;
  };
  assert.equal(way(a), 'wss://a');
  assert.equal(way(remote), 'wss://r');
  assert.match(way(livekit), /LiveKit/);
  assert.match(way(member('@n:x', {}, [])), /no server/);
  assert.equal(way(member('@d:x', {}, [BY_DEVICE])), 'F', 'a focus without an address has a device');
  assert.match(way(member('@u:x', {}, [{ type: 'x.pigeon' }])), /x\.pigeon/);
  assert.match(way(member('@s:x', { selection: 'by_lot' })), /chooses/);
  assert.equal(way(member('@o:x', { selection: 'oldest_membership' }, [{ type: 'rust_sfu', url: 'wss://o' }])), 'wss://a');
});

test('one connection for each focus, whatever it is called', () => {
  const focus = (json: object): RustSfu => {
    const parsed = parseTransport({ type: 'rust_sfu', ...json });
    assert.equal(parsed?.kind, 'rust_sfu');
    return parsed as RustSfu;
  };
  const foci = distinctFoci([focus({ url: 'wss://a', sfu_id: '1' }), focus({ url: 'wss://other-name', sfu_id: '1' }), focus({ url: 'wss://b' }), focus({ url: 'wss://b', sfu_id: '2' }), focus({ url: 'wss://b', sfu_id: '3' })]);
  assert.deepEqual(foci.map(({ sfuId, url }) => sfuId ?? url), ['1', 'wss://b']);
  const names = [BY_DEVICE, { ...BY_DEVICE, matrix: { user_id: '@f:x', device_id: 'G' } }, { url: 'wss://b' }].map((json) => nameOf(focus(json)));
  assert.equal(new Set(names).size, names.length, names.join());
});

const FOCUS = parseTransport({ type: 'rust_sfu', url: 'wss://sfu/rtc/v1', service_url: 'https://sfu', sfu_id: 'key' }) as RustSfu;

test('discovery: what is missing and what is empty both mean the next', async () => {
  const homeserver = new FakeHomeserver();
  const ask = (wellKnown: object | null) => discover({ homeserver, wellKnown: () => Promise.resolve(wellKnown as Record<string, unknown> | null), configured: [FOCUS] });
  const one = { type: 'rust_sfu', url: 'wss://one' };
  for (const key of ['rtc_transports', 'transports']) {
    homeserver.answer = () => ({ [key]: [one] });
    assert.deepEqual((await ask(null)).map(({ json }) => json), [one]);
  }
  for (const nothing of [refusal(404, 'M_UNRECOGNIZED'), {}, { rtc_transports: [] }]) {
    homeserver.answer = () => nothing;
    assert.deepEqual((await ask({ 'org.matrix.msc4143.rtc_foci': [one] })).map(({ json }) => json), [one]);
    assert.deepEqual(await ask(null), [FOCUS]);
  }
  homeserver.answer = () => refusal(0, 'M_UNREACHABLE');
  await assert.rejects(ask(null), 'no answer is not "there is none"');
});

test('the right to join: through the homeserver first, else with OpenID; forbidden is final', async () => {
  const homeserver = new FakeHomeserver();
  const posted: string[] = [];
  const ask = (status = 200) =>
    getAccess({ homeserver, room: '!r:x', slot: 'm.call#ROOM', memberId: 'one', focus: FOCUS, post: (url) => (posted.push(url), Promise.resolve(status === 200 ? { status, body: { token: 'open', url: 'wss://u', sfu_id: 'key' } } : { status, body: { errcode: 'M_FORBIDDEN' } })) });
  homeserver.answer = ({ path }) => (path.includes('openid') ? { access_token: 'o' } : { token: 'vouched', url: 'wss://v', identity: 'me' });
  assert.deepEqual(await ask(), { token: 'vouched', url: 'wss://v', identity: 'me' });
  assert.deepEqual(posted, []);

  homeserver.answer = ({ path }) => (path.includes('openid') ? { access_token: 'o' } : refusal(404, 'M_UNRECOGNIZED'));
  assert.equal((await ask()).token, 'open');
  assert.deepEqual(posted, ['https://sfu/_rust_sfu/v1/get_token']);
  await assert.rejects(ask(403), (error: CallError) => error.code === 'token-refused');

  homeserver.answer = () => refusal(403, 'M_FORBIDDEN');
  posted.length = 0;
  await assert.rejects(ask(), (error: CallError) => error.code === 'token-refused');
  assert.deepEqual(posted, [], 'not tried another way');
});

test('a token for another focus is refused', async () => {
  const homeserver = new FakeHomeserver();
  homeserver.answer = () => ({ token: 't', url: 'wss://evil', sfu_id: 'other' });
  await assert.rejects(getAccess({ homeserver, room: '!r:x', slot: 's#1', memberId: 'one', focus: FOCUS }), (error: CallError) => error.code === 'token-refused');
});

/** How `enter` gets in. `getToken`: what the homeserver says to that. */
async function entered(json: object, getToken: () => Json | HomeserverError | Promise<never>): Promise<{ way: string; asked: number; clock: FakeClock }> {
  const homeserver = new FakeHomeserver();
  homeserver.answer = ({ path }) => (path.includes('openid') ? { access_token: 'o' } : getToken());
  const clock = new FakeClock();
  const focus = parseTransport({ type: 'rust_sfu', ...json }) as RustSfu;
  const unreachable = (): Promise<never> => Promise.reject(new Error('connection refused'));
  const found = enter({ homeserver, room: '!r:x', slot: 's#1', memberId: 'one', focus, clock, post: unreachable });
  await settle();
  clock.advance(ANSWER_MS);
  const way = await found.then((access) => ('token' in access ? `${access.url}${access.otherwise ? ' or device' : ''}` : 'device'), (error: CallError) => error.code);
  return { way, asked: homeserver.asked.length, clock };
}

test('the way in: an address first, a device where there is none or where nothing answers; who is refused is refused', async () => {
  const token = (): Json => ({ token: 't', url: 'wss://v' });
  const both = { ...BY_DEVICE, url: 'wss://sfu/rtc/v1', service_url: 'https://sfu' };
  const { matrix: _matrix, ...address } = both;
  assert.deepEqual(await entered(BY_DEVICE, token).then(({ way, asked }) => [way, asked]), ['device', 0], 'nobody is asked for a token');
  assert.equal((await entered(both, token)).way, 'wss://v or device');
  assert.equal((await entered(address, token)).way, 'wss://v');
  for (const nothing of [() => refusal(500, 'M_UNKNOWN'), () => refusal(404, 'M_UNRECOGNIZED'), () => new Promise<never>(() => undefined)]) {
    assert.equal((await entered(both, nothing)).way, 'device');
  }
  assert.equal((await entered({ ...BY_DEVICE, url: 'wss://sfu/rtc/v1' }, () => refusal(404, 'M_UNRECOGNIZED'))).way, 'device', 'nobody gives tokens');
  assert.equal((await entered(address, () => refusal(500, 'M_UNKNOWN'))).way, 'unreachable');
  for (const json of [both, address]) assert.equal((await entered(json, () => refusal(403, 'M_FORBIDDEN'))).way, 'token-refused');
});

test('a link to a device: its keys are asked for first, and nobody else is heard', async () => {
  const homeserver = new FakeHomeserver();
  const clock = new FakeClock();
  const claims = { room_id: '!r:x', slot_id: 's#1', member_id: 'one' };
  const socket = byDevice({ homeserver, focus: { user: '@f:x', device: 'F' }, claims, clock, newSession: () => 'c1' }).openLink();
  const heard: unknown[] = [];
  socket.onmessage = ({ data }) => heard.push(data);
  socket.send('{"t":"hello","id":1,"b":{"v":1}}');
  await settle();
  assert.deepEqual([homeserver.learned, homeserver.sent], [['@f:x'], [{ type: 'org.rust_sfu.signal', to: ['@f:x F'], content: { ...claims, session: 'c1', seq: 1, m: { t: 'hello', id: 1, b: { v: 1 } } } }]]);
  // What found no Olm session is sent again, after another look at the keys.
  homeserver.missed = [{ user: '@f:x', device: 'F' }];
  socket.send('{"t":"ping","b":{"n":1}}');
  await settle();
  homeserver.missed = [];
  clock.advance(1_000);
  await settle();
  assert.deepEqual([homeserver.learned.length, homeserver.sent.length], [2, 4]);
  const good = { type: 'org.rust_sfu.signal', sender: '@f:x', device: 'F', content: { ...claims, session: 'f', dest_session: 'c1', seq: 1, ack: 1, m: { t: 'pong' } } };
  for (const other of [{ ...good, sender: '@m:x' }, { ...good, device: 'G' }, { ...good, type: 'x' }, { ...good, content: { ...good.content, session: '' } }]) homeserver.deliver(other);
  assert.deepEqual(heard, []);
  homeserver.deliver(good);
  assert.deepEqual(heard, ['{"t":"pong"}']);
});

test('mesh messages: what goes out comes in, and nothing else does', () => {
  const message = { memberId: 'one', toMemberId: 'two', session: 's', body: { t: 'offer', sdp: 'v=0' } } as const;
  const content = meshContent('!r:x', 'm.call#ROOM', message);
  const wire = { type: MESH_TYPE, sender: '@a:x', device: 'D', content };
  assert.deepEqual(readMesh(wire, '!r:x', 'm.call#ROOM'), message);
  for (const bad of [{ ...wire, type: 'x' }, { ...wire, content: { ...content, room_id: '!o:x' } }, { ...wire, content: { ...content, m: { t: 'offer' } } }, { ...wire, content: { ...content, m: { t: 'offer', sdp: 'x'.repeat(50_000) } } }, { ...wire, content: { ...content, m: { t: 'bye', sdp: '' } } }]) {
    assert.equal(readMesh(bad, '!r:x', 'm.call#ROOM'), null);
  }
  assert.ok(weOffer({ user: '@a:x', device: 'Z' }, { user: '@b:x', device: 'A' }));
  assert.ok(!weOffer({ user: '@b:x', device: 'A' }, { user: '@a:x', device: 'Z' }));
  assert.ok(weOffer({ user: '@a:x', device: 'A' }, { user: '@a:x', device: 'B' }));
  assert.deepEqual(readTracks('{"tracks":[{"source":"camera","muted":true,"width":320,"height":180},{"source":"mind"},7]}'), [{ source: 'camera', muted: true, width: 320, height: 180 }]);
  for (const junk of ['', '7', 'null', '{"tracks":{}}']) assert.deepEqual(readTracks(junk), []);
});

test('the address of the page', () => {
  const route = parseMatrixRoute('#homeserver=http%3A%2F%2F127.0.0.1%3A8081%2F&user=%40a%3Ax&device=D&token=t&room=%21r%3Ax&join=1&mesh=1');
  assert.deepEqual(route, { login: { homeserver: 'http://127.0.0.1:8081', user: '@a:x', device: 'D', token: 't', password: null, crossSign: false }, room: '!r:x', join: true, mesh: true, delegate: false, format: 'state', profile: 'interop' });
  assert.equal(parseMatrixRoute('#homeserver=javascript:alert(1)&user=@a:x&password=p').login, null);
  assert.equal(parseMatrixRoute('#homeserver=https://h&user=@a:x&token=t').login, null, 'a token without its device');
  assert.equal(parseMatrixRoute('').login, null);
});
