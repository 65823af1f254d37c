// A focus that nobody reaches but by Olm-encrypted to-device messages of its own Matrix device: headless members (`sfu-bench`, in Rust) of
// two real homeservers call each other, also when the homeservers lose, delay and repeat what they carry; and so do people at the page.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launchChromium } from '../lib/chromium.mjs';
import { allSeeAll } from '../lib/expect.mjs';
import { launchFirefox } from '../lib/firefox.mjs';
import { BENCH, NFT, need } from '../lib/need.mjs';
import { joinCall } from '../lib/matrix/person.mjs';
import { startRig } from '../lib/matrix/rig.mjs';
import { serveSite } from '../lib/site.mjs';
import { until } from '../lib/wait.mjs';

const skip = need('synapse', 'openssl', 'bench', 'nft');
const TIMEOUT_MS = 120_000;
const BY_DEVICE = ['--carriage', 'to-device'];

let rig = null;
before(async () => {
  if (skip) return;
  rig = await startRig({ toDevice: true });
  await until('the focus has a device', async () => (await readiness()).device === 'up', { describe: readiness });
});
after(() => rig?.close());

const readiness = async () => (await (await fetch(`${rig.focus.origin}/readyz`)).json()).matrix;
const events = async (event) => (await rig.focus.metrics()).sum('sfu_matrix_device_events_total', { event });
const nft = (...words) => execFileSync(NFT, words);

/** From now on nobody gets a packet to the focus's HTTP port. */
function closeHttp(t) {
  nft('add', 'table', 'ip', 'todevice');
  t.after(() => nft('delete', 'table', 'ip', 'todevice'));
  nft('add', 'chain', 'ip', 'todevice', 'in', '{ type filter hook input priority 0; }');
  // Attempts to connect are counted. Our own connections of before are at most closed.
  nft('add', 'rule', 'ip', 'todevice', 'in', 'tcp', 'dport', `${rig.focus.port}`, 'tcp', 'flags', '&', '(syn|ack)', '==', 'syn', 'counter', 'drop');
  nft('add', 'rule', 'ip', 'todevice', 'in', 'tcp', 'dport', `${rig.focus.port}`, 'drop');
  return () => Number(/packets (\d+)/.exec(String(nft('list', 'table', 'ip', 'todevice')))[1]);
}

/** With `true` no packet of media gets to anybody. */
function cutMedia(t) {
  nft('add', 'table', 'ip', 'media');
  t.after(() => nft('delete', 'table', 'ip', 'media'));
  nft('add', 'chain', 'ip', 'media', 'in', '{ type filter hook input priority 0; }');
  return (isCut) => (isCut ? nft('add', 'rule', 'ip', 'media', 'in', 'meta', 'l4proto', 'udp', 'drop') : nft('flush', 'chain', 'ip', 'media', 'in'));
}

/** Runs it. `report` resolves to its last line, which is JSON; `says` to the match when it says something. */
function bench(...args) {
  const homeservers = rig.homeservers.flatMap(({ origin, registrationSecret }, index) => {
    const file = join(rig.folder, `registration-secret-${index}`);
    writeFileSync(file, registrationSecret, { mode: 0o600 });
    return ['--homeserver', origin, '--registration-secret-file', file];
  });
  const child = spawn(BENCH, [...args, ...homeservers, ...BY_DEVICE], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [output, words] = ['', ''];
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (words += chunk));
  const ended = new Promise((resolve) => child.once('close', resolve));
  return {
    async says(what) {
      await until(`"${what}"`, () => words.match(what) !== null, { deadlineMs: 30_000, describe: () => words });
      return words.match(what);
    },
    report: ended.then((code) => {
      assert.equal(code, 0, `${words}\n${output}\n${rig.focus.log.slice(-20).join('\n')}`);
      return JSON.parse(output.trim().split('\n').at(-1));
    }),
  };
}

/** Everybody got everything of everybody, and could open it. */
function assertCall(report, participants) {
  assert.equal(report.joined, participants);
  assert.equal(report.streams, participants * (participants - 1) * 2);
  assert.deepEqual([report.streams_without_media, report.frames_without_key, report.frames_unopened, report.foreign_packets], [0, 0, 0, 0]);
  assert.ok(report.frames_opened > 0);
  assert.deepEqual(report.matrix.access, ['to_device']);
}

test('members of two homeservers call over a focus without any HTTP', { skip, timeout: TIMEOUT_MS }, async (t) => {
  const tried = closeHttp(t);
  assertCall(await bench('run', '--participants', '3', '--duration', '3s', '--join-rate', '2').report, 3);
  assert.equal(tried(), 0, 'nobody tried');
  assert.equal((await rig.focus.metrics()).sum('sfu_websockets_opened_total'), 0);
  assert.ok((await events('received')) >= 3 * 2 && (await events('sent')) >= 3 * 2);
});

/** The page comes from somewhere else: nothing leads to the focus. */
async function pages(t) {
  const [site, chrome, fox] = await Promise.all([serveSite(), launchChromium(), launchFirefox()]);
  t.after(() => Promise.all([site.close(), chrome.close(), fox.close()]));
  return { chrome, fox, come: (browser, user, room) => joinCall(browser, rig, user, room, { site: site.origin }) };
}

const way = (person) => person.evaluate(() => window.sfuMatrixCall?.signalling ?? null);

test('people at the page call over it, alone and with headless members', { skip: skip || need('chromium', 'firefox'), timeout: TIMEOUT_MS }, async (t) => {
  const tried = closeHttp(t);
  const cut = cutMedia(t);
  const { chrome, fox, come } = await pages(t);
  const [ann, ben, cid] = await Promise.all(['ann', 'ben', 'cid'].map((name, at) => rig.user(name, at % 2)));
  const headless = bench('run', '--participants', '2', '--duration', '10s', '--join-rate', '2', '--guest', cid.id);
  const opened = (async () => {
    const [, theirs] = await headless.says(/guests are invited to (\S+)/);
    const guest = await come(chrome, cid, theirs);
    await until('cid opens what two headless members send', async () => (await guest.media()).filter(({ encryption }) => encryption === 'ok').length === 4, { describe: () => guest.media() });
    await guest.close();
  })();
  const room = await rig.room([ann, ben]);
  // The first homeserver knows the focus's device only; the second one its address, too, at which nothing answers.
  const people = await Promise.all([come(chrome, ann, room), come(fox, ben, room)]);
  await allSeeAll(people);
  assert.ok(tried() > 0, 'ben tried');
  await people[0].click('#toggle-stats');
  await until('ann can read which way it goes', async () => /Matrix messages, now beside the media/.test(await people[0].text('#signalling')));
  await opened;
  assertCall(await headless.report, 2);

  // No packet of media gets through for a while: what restarts ICE goes by to-device messages.
  cut(true);
  await Promise.all(people.map((person) => until(`${person.name} is back at the homeserver`, async () => (await way(person)) === 'to-device', { deadlineMs: 30_000 })));
  cut(false);
  await Promise.all(people.map((person) => until(`${person.name} has the channel again`, async () => (await way(person)) === 'channel', { deadlineMs: 30_000 })));
  await allSeeAll(people);
  assert.equal((await rig.focus.metrics()).sum('sfu_websockets_opened_total'), 0);
});

test('homeservers may lose, delay and repeat', { skip, timeout: TIMEOUT_MS }, async (t) => {
  closeHttp(t);
  const weather = ['--loss', '0.2', '--reorder', '0.3', '--replay', '0.2', '--seed', '3'];
  const report = await bench('run', '--participants', '3', '--duration', '2s', '--join-rate', '2', ...weather).report;
  assertCall(report, 3);
  const { lost, delayed, repeated } = report.matrix.weather;
  assert.ok(lost > 0 && delayed > 0 && repeated > 0, JSON.stringify(report.matrix.weather));
});

test('what comes in clear text is dropped, and counted', { skip, timeout: TIMEOUT_MS }, async () => {
  const [clear, joined] = [await events('clear_text'), await rig.focus.metrics()];
  const mallory = await rig.user('mallory', 1);
  const room = await rig.room([mallory]);
  const { user_id: focus, device_id: device } = rig.focus.address;
  const content = { room_id: room, slot_id: 'm.call#ROOM', member_id: 'm', session: 'q7Jm2v', seq: 1, m: { t: 'hello', id: 1, b: { v: 1 } } };
  await mallory.call('PUT', '/v3/sendToDevice/org.rust_sfu.signal/t1', { messages: { [focus]: { [device]: content } } });
  await until('it is counted', async () => (await events('clear_text')) === clear + 1);
  assert.equal((await rig.focus.metrics()).sum('sfu_joins_total'), joined.sum('sfu_joins_total'));
});

test('the focus is restarted: it is the same device, and everybody comes back', { skip, timeout: TIMEOUT_MS }, async () => {
  const alice = await rig.user('alice', 1);
  const { user_id: focus, device_id: device } = rig.focus.address;
  const keys = async () => (await alice.call('POST', '/v3/keys/query', { device_keys: { [focus]: [] } })).device_keys[focus][device].keys;
  const before = await keys();
  const call = bench('matrix', 'comeback', '--participants', '2');
  await call.says('all have all');
  await rig.focus.stop();
  await call.says('the focus is gone');
  await rig.focus.start();
  const report = await call.report;
  assert.equal(report.returns, 1);
  assert.ok(report.lives >= 4 && report.frames_opened > 0, JSON.stringify(report));
  assert.deepEqual(await keys(), before);
});

test('its access token is revoked: it comes back as the same device', { skip, timeout: TIMEOUT_MS }, async () => {
  const bob = await rig.user('bob', 1);
  const { user_id: focus, device_id: device } = rig.focus.address;
  const keys = async () => (await bob.call('POST', '/v3/keys/query', { device_keys: { [focus]: [] } })).device_keys[focus]?.[device]?.keys;
  const token = () => readFileSync(join(rig.folder, 'focus/state/device/access_token'), 'utf8');
  const [before, first] = [await keys(), token()];
  assert.ok(before);
  // Logs it out, whereupon Synapse deletes the device and its keys.
  const revoke = async () => {
    const headers = { authorization: `Bearer ${token()}` };
    const answer = await fetch(`${rig.homeservers[0].origin}/_matrix/client/v3/logout`, { method: 'POST', headers, body: '{}' });
    assert.equal(answer.status, 200);
    assert.equal((await fetch(`${rig.homeservers[0].origin}/_matrix/client/v3/account/whoami`, { headers })).status, 401);
  };
  const describe = async () => JSON.stringify([await readiness(), await keys(), rig.focus.log.slice(-5)]);
  const isBack = (old) => until('it is back', async () => token() !== old && (await readiness()).device === 'up' && (await keys()) !== undefined, { describe });

  await revoke();
  await isBack(first);
  assert.deepEqual(await keys(), before);
  assertCall(await bench('run', '--participants', '2', '--duration', '2s', '--join-rate', '2').report, 2);

  const second = token();
  await rig.focus.stop();
  await revoke();
  assert.equal(await keys(), undefined);
  await rig.focus.start();
  await isBack(second);
  assert.deepEqual(await keys(), before);
});
