// Five people in one encrypted call for a minute and more: four Chromium pages and a Firefox. Around them things happen
// that happen in calls; nobody else may notice more than they must.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allSeeAll, flowing, plays, sees } from '../lib/expect.mjs';
import { need } from '../lib/need.mjs';
import { callLink, join, newSecret, SMALL } from '../lib/participant.mjs';
import { startProxy } from '../lib/proxy.mjs';
import { scene } from '../lib/scene.mjs';
import { pause, until } from '../lib/wait.mjs';

/** The part of the minute in which nothing else happens. */
const CALM_MS = 25_000;
const CUT_MS = 10_000;

test('five people', { skip: need('chromium', 'firefox'), timeout: 240_000 }, async (t) => {
  const { server: startServer, chromium, firefox, keep } = scene(t);
  const [server, chrome, fox] = await Promise.all([startServer(), chromium(), firefox()]);
  const room = 'five';
  const secret = newSecret();
  const proxy = keep(await startProxy(server.port), () => proxy.close());

  const alice = await join(chrome, server, { room, name: 'alice', secret });
  const bob = await join(chrome, server, { room, name: 'bob', secret });
  const carol = await join(chrome, proxy, { room, name: 'carol', secret });
  const dave = await join(chrome, server, { room, name: 'dave', secret });
  const fiona = await join(fox, server, { room, name: 'fiona', secret });
  const everybody = [alice, bob, carol, dave, fiona];
  await allSeeAll(everybody, { deadlineMs: 60_000 });

  await t.test('everybody sees and hears everybody without a break', async () => {
    const { worstMs } = await flowing(everybody, { ms: CALM_MS });
    t.diagnostic(`longest standstill: ${worstMs} ms`);
  });

  await t.test('one shares a screen, all see it, and it ends', async () => {
    const others = everybody.filter((one) => one !== alice);
    await flowing(everybody, {
      during: async () => {
        await alice.click('#toggle-screen');
        await Promise.all(others.map((viewer) => sees(viewer, [alice], { sources: ['screen/video'], alone: false })));
        await alice.click('#toggle-screen');
        await Promise.all(others.map((viewer) => until(`the screen is gone for ${viewer.name}`, async () => !(await viewer.media()).some(({ source }) => source === 'screen'))));
      },
    });
  });

  await t.test('one leaves and comes back', async () => {
    const rest = everybody.filter((one) => one !== dave);
    await flowing(rest, {
      during: async () => {
        await dave.click('#leave');
        await Promise.all(rest.map((viewer) => until(`${viewer.name} notices that dave left`, async () => !(await viewer.participants()).includes('dave'))));
        await dave.goto('about:blank');
        await dave.goto(callLink(server.origin, { room, name: 'dave', secret, query: SMALL }));
        await dave.joined();
        await allSeeAll(everybody);
      },
    });
  });

  await t.test('one loses its WebSocket for ten seconds, and no picture freezes for anybody', async () => {
    const resumes = (await server.metrics()).sum('sfu_resumes_total');
    await flowing(everybody, {
      during: async () => {
        proxy.cut();
        await until('carol notices', async () => (await carol.state()) === 'reconnecting');
        await pause(CUT_MS);
        assert.equal(await carol.state(), 'reconnecting');
        assert.ok((await alice.participants()).includes('carol'), 'nobody is told that carol is gone');
        proxy.heal();
        await until('carol is back', async () => (await carol.state()) === 'joined', { deadlineMs: 20_000, describe: () => carol.console.slice(-5).join('\n') });
      },
    });
    // Metrics lag behind by up to a second.
    await until('the session was resumed, not joined afresh', async () => (await server.metrics()).sum('sfu_resumes_total') === resumes + 1, { deadlineMs: 3000 });
    await allSeeAll(everybody);
  });

  await t.test('one with the wrong secret opens nothing and is told so', async () => {
    const mallory = await join(chrome, server, { room, name: 'mallory', secret: newSecret() });
    await flowing(everybody, {
      during: async () => {
        const blind = (media) => media.length === 10 && media.every(({ encryption }) => encryption === 'failed' || encryption === 'missing-key');
        await until('every tile of mallory says that it cannot be opened', async () => blind(await mallory.media()), { deadlineMs: 20_000, describe: () => mallory.media() });
        await pause(3000);
        const media = await mallory.media();
        assert.ok(blind(media));
        assert.deepEqual(media.filter(({ decoded, samples, concealed, kind }) => (kind === 'video' ? decoded : samples - concealed) > 0), [], 'nothing was decoded');
        assert.match(await mallory.text('#encryption-text'), /Cannot decrypt|Key missing/);
        assert.match(await mallory.text('.tile[data-encryption] .note'), /Cannot decrypt/);
      },
    });
    for (const viewer of everybody) {
      const media = await viewer.media();
      assert.ok(media.filter(({ participant }) => participant === 'mallory').every(({ encryption }) => encryption === 'failed'), `${viewer.name} is told of mallory`);
      assert.ok(media.filter(({ participant }) => participant !== 'mallory').every((entry) => plays(entry, 'ok')), `${viewer.name} still has all others`);
    }
    await mallory.click('#leave');
    await Promise.all(everybody.map((viewer) => until(`${viewer.name} notices that mallory is gone`, async () => !(await viewer.participants()).includes('mallory'))));
  });

  await t.test('nobody lost anything on the way', async () => {
    const { worstMs } = await flowing(everybody, { ms: 5000 });
    t.diagnostic(`longest standstill at the end: ${worstMs} ms`);
    const metrics = await server.metrics();
    assert.equal(metrics.sum('sfu_panics_total'), 0);
    assert.equal(metrics.sum('sfu_ring_dropped_total'), 0);
    // Carol's page logs that its socket was refused while the network was cut; that is the browser's line, not ours.
    assert.deepEqual(everybody.flatMap(({ name, errors }) => errors.filter((text) => !(name === 'carol' && /WebSocket|ERR_/.test(text)))), []);
  });
});
