// A call whose media has only IPv6 to go over.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { allSeeAll, flowing } from '../lib/expect.mjs';
import { IP, need } from '../lib/need.mjs';
import { join, newSecret } from '../lib/participant.mjs';
import { scene } from '../lib/scene.mjs';

const ADDRESS = 'fd00:7::1';
const sysctl = (value) => execFileSync('sysctl', ['-qw', ...['all', 'lo', 'd0'].map((name) => `net.ipv6.conf.${name}.disable_ipv6=${value}`)]);
const ip = (...words) => execFileSync(IP, words);

test('media over IPv6 alone', { skip: need('chromium'), timeout: 90_000 }, async (t) => {
  const parts = scene(t);
  sysctl(0);
  parts.keep(null, async () => sysctl(1));
  // `nodad`: the address is nobody else's, and need not be asked for.
  ip('-6', 'addr', 'add', `${ADDRESS}/128`, 'dev', 'd0', 'nodad');
  ip('-6', 'route', 'add', 'default', 'dev', 'd0');
  const [server, chrome] = await Promise.all([parts.server({ mediaHost: `[${ADDRESS}]` }), parts.chromium()]);
  const secret = newSecret();
  const everybody = [];
  for (const name of ['alice', 'bob']) everybody.push(await join(chrome, server, { room: 'six', name, secret }));
  await allSeeAll(everybody);
  for (const one of everybody) assert.equal((await one.path()).remote.address, ADDRESS);
  const { worstMs } = await flowing(everybody, { ms: 3000 });
  t.diagnostic(`longest standstill: ${worstMs} ms`);
});
