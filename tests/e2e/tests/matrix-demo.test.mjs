// `make demo-matrix`: what it prints works, and nothing of it is left when it is interrupted, early or late.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { request } from '../lib/matrix/client.mjs';
import { need, ROOT, SERVER } from '../lib/need.mjs';
import { until } from '../lib/wait.mjs';

const END_MS = 15_000;

/** Commands of processes whose environment or arguments name this folder. */
function processesIn(folder) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return command.includes(folder) ? [command] : [];
    } catch {
      return [];
    }
  });
}

function startDemo(t, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'demo-matrix-'));
  const child = spawn(process.execPath, [join(ROOT, 'tools/demo-matrix.mjs')], { env: { ...process.env, TMPDIR: folder, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(async () => {
    child.kill('SIGTERM');
    await demo.isGone();
    rmSync(folder, { recursive: true, force: true });
  });
  const demo = { folder, child, output: '', ended: null };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (demo.output += chunk));
  child.once('exit', (code, signal) => (demo.ended = { code, signal }));
  demo.says = (pattern) => until(`the demo prints ${pattern}`, () => pattern.exec(demo.output) ?? (demo.ended && assert.fail('it ended')), { deadlineMs: 60_000, describe: () => demo.output });
  demo.isGone = () => until('the demo has ended', () => demo.ended, { deadlineMs: END_MS, describe: () => demo.output });
  return demo;
}

const nothingIsLeft = (folder) => {
  assert.deepEqual(processesIn(folder), []);
  assert.deepEqual(existsSync(folder) ? readdirSync(folder) : [], []);
};

test('the demo starts, its links log in, and SIGINT ends all of it', { skip: need('synapse', 'openssl'), timeout: 120_000 }, async (t) => {
  const demo = startDemo(t);
  await demo.says(/(link: \S+\s+){2}/);
  const links = [...demo.output.matchAll(/^link: (\S+)$/gm)].map(([, link]) => new URL(link));
  assert.equal(links.length, 2);

  const seen = [];
  for (const link of links) {
    assert.equal(link.search, '', 'the login is in the fragment only');
    const { homeserver, user, password, room } = Object.fromEntries(new URLSearchParams(link.hash.slice(1)));
    const login = await request(homeserver, 'POST', '/v3/login', { body: { type: 'm.login.password', identifier: { type: 'm.id.user', user }, password } });
    const token = login.access_token;
    const { joined } = await request(homeserver, 'GET', `/v3/rooms/${encodeURIComponent(room)}/joined_members`, { token });
    assert.equal(Object.keys(joined).length, 2);
    const encryption = await request(homeserver, 'GET', `/v3/rooms/${encodeURIComponent(room)}/state/m.room.encryption/`, { token });
    assert.equal(encryption.algorithm, 'm.megolm.v1.aes-sha2');
    const { rtc_transports: offered } = await request(homeserver, 'GET', '/unstable/org.matrix.msc4143/rtc/transports', { token });
    const wellKnown = await request(homeserver, 'GET', '/.well-known/matrix/client');
    assert.deepEqual(wellKnown['org.matrix.msc4143.rtc_foci'], offered);
    assert.deepEqual(offered.map(({ type, service_url }) => [type, service_url]), [['rust_sfu', link.origin]]);
    seen.push({ user, homeserver, room });
  }
  assert.equal(seen[0].room, seen[1].room);
  assert.notEqual(seen[0].homeserver, seen[1].homeserver);
  assert.match(await (await fetch(links[0])).text(), /id="matrix-login"/, 'the page is served');

  assert.ok(processesIn(demo.folder).length >= 3);
  demo.child.kill('SIGINT');
  assert.deepEqual(await demo.isGone(), { code: 0, signal: null }, demo.output);
  nothingIsLeft(demo.folder);
});

test('interrupted while it starts, and when a part of it cannot start, it leaves nothing', { skip: need('synapse', 'openssl'), timeout: 120_000 }, async (t) => {
  const early = startDemo(t);
  await until('a homeserver is being started', () => processesIn(early.folder).length > 0, { deadlineMs: 30_000 });
  early.child.kill('SIGTERM');
  assert.deepEqual(await early.isGone(), { code: 0, signal: null }, early.output);
  nothingIsLeft(early.folder);

  // Nobody can tidy up after SIGKILL, but nothing goes on running.
  const killed = startDemo(t);
  await until('both homeservers are being started', () => processesIn(killed.folder).length >= 2, { deadlineMs: 30_000 });
  killed.child.kill('SIGKILL');
  await killed.isGone();
  await until('nothing runs any more', () => processesIn(killed.folder).length === 0);

  // A focus that prints its registration and then does not start: by then both homeservers run.
  const folder = mkdtempSync(join(tmpdir(), 'demo-matrix-broken-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const brokenServer = join(folder, 'sfu-server');
  writeFileSync(brokenServer, `#!/bin/sh\n[ "$1" = matrix ] && exec ${SERVER} "$@"\nexit 1\n`, { mode: 0o755 });
  const broken = startDemo(t, { SFU_SERVER: brokenServer });
  assert.deepEqual(await broken.isGone(), { code: 1, signal: null }, broken.output);
  assert.match(broken.output, /the focus ended/);
  nothingIsLeft(broken.folder);
});
