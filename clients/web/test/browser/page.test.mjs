// The call page against the fake focus: what scripts and people rely on, and how it behaves when the connection breaks.
// Run it inside `tests/e2e/netns.sh`.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fakeServer } from '../fake-server.mjs';
import { chromium, haveChromium } from './browsers.mjs';

describe('call page', { skip: haveChromium() ? false : 'no Chromium' }, () => {
  let browser;
  const complaints = [];

  before(async () => {
    browser = await chromium();
  });
  after(() => browser?.close());

  /** A test with a focus and a browser context of its own. */
  function scene(name, story) {
    test(name, async () => {
      const server = await fakeServer(0, 3);
      const contexts = [];
      const open = async (path, options = {}) => {
        const context = await browser.newContext({ permissions: ['camera', 'microphone'], ...options });
        contexts.push(context);
        const page = await context.newPage();
        page.on('pageerror', (error) => complaints.push(error.message));
        page.on('console', (message) => {
          if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
        });
        await page.goto(`http://127.0.0.1:${server.port}${path}`);
        return page;
      };
      const lastOffer = () => server.received.filter(({ t }) => t === 'offer').at(-1)?.b;
      const since = (mark, t) => server.received.slice(mark).filter((message) => message.t === t);
      try {
        await story({ server, open, lastOffer, since });
      } finally {
        for (const context of contexts) await context.close();
        server.close();
      }
    });
  }

  const joined = (page) => page.waitForFunction(() => window.sfuCall?.state === 'joined');

  scene('autojoin publishes microphone and camera, encrypted, and the secret stays here', async ({ server, open, lastOffer }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#top-secret-fragment');
    await joined(page);
    await assertEventually(() => lastOffer());
    const { tracks, sdp } = lastOffer();
    assert.deepEqual(tracks.map(({ source, muted, enc }) => ({ source, muted, enc })), [
      { source: 'microphone', muted: false, enc: { format: 'sframe', key_index: 0 } },
      { source: 'camera', muted: false, enc: { format: 'sframe', key_index: 0 } },
    ]);
    assert.match(sdp, /a=simulcast:send q;h;f/);
    assert.match(sdp, /m=application/);
    assert.ok(server.received.findIndex(({ t }) => t === 'announce') < server.received.findIndex(({ t }) => t === 'offer'), 'keys before media');
    assert.doesNotMatch(JSON.stringify(server.received), /top-secret-fragment/);
    const media = await page.$$eval('[data-participant]', (all) => all.map((element) => `${element.tagName} ${element.dataset.participant} ${element.dataset.source}`));
    assert.equal(media.length, 6);
    assert.ok(media.includes('AUDIO Ada Lovelace microphone') && media.includes('VIDEO Ada Lovelace camera'));
    assert.equal(await page.$$eval('.tile [data-encryption="ok"], .tile[data-encryption="ok"]', (all) => all.length), 0, 'nothing was decrypted');
    assert.equal(await page.getAttribute('.tile[aria-label="Katherine Johnson"]', 'data-encryption'), 'off');
    assert.equal(await page.$eval('.self video', (video) => video.hasAttribute('data-participant')), false);
    for (const id of ['toggle-mic', 'toggle-camera', 'toggle-screen', 'leave', 'toggle-stats']) assert.ok(await page.isVisible(`#${id}`), id);
  });

  scene('a dropped socket is resumed, keys and published tracks stay', async ({ server, open, lastOffer, since }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s');
    await joined(page);
    await assertEventually(() => lastOffer());
    const mark = server.received.length;
    server.command({ do: 'drop' });
    await assertEventually(() => since(mark, 'hello').length === 1 && since(mark, 'offer').length >= 1);
    assert.ok(since(mark, 'hello')[0].b.resume);
    assert.equal(since(mark, 'announce').at(-1).b.key_index, 0);
    await joined(page);
  });

  scene('a forgotten session is joined afresh, and nobody has to click', async ({ server, open, lastOffer, since }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s');
    await joined(page);
    await assertEventually(() => lastOffer());
    const mark = server.received.length;
    server.command({ do: 'forget' });
    server.command({ do: 'drop' });
    await assertEventually(() => since(mark, 'offer').length >= 1);
    assert.deepEqual(since(mark, 'hello').map(({ b }) => (b.resume ? 'resume' : 'token')), ['resume', 'token']);
    assert.equal(lastOffer().seq, 1, 'a new connection');
    await joined(page);
    assert.equal(await page.$$eval('#grid .tile', (all) => all.length), 4);
  });

  scene('somebody left: a new key is announced first and used after a moment', async ({ server, open, lastOffer, since }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s');
    await joined(page);
    await assertEventually(() => lastOffer());
    const mark = server.received.length;
    server.command({ do: 'leave' });
    await assertEventually(() => since(mark, 'announce').length === 2);
    const [first, second] = since(mark, 'announce').map(({ b }) => b);
    assert.deepEqual([first.key_index, first.keys.map(({ index }) => index)], [0, [0, 1]]);
    assert.deepEqual([second.key_index, second.keys.map(({ index }) => index)], [1, [0, 1]]);
    assert.equal(new Set(second.keys.map(({ salt }) => salt)).size, 2);
    assert.match(await page.textContent('#announcer'), /left/);
  });

  scene('switches: mute is told, the camera is let go, keys work them', async ({ open }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s');
    await joined(page);
    await page.keyboard.press('m');
    await page.waitForSelector('#toggle-mic[aria-pressed="false"]');
    assert.equal(await page.evaluate(() => window.sfuCall.publication('microphone').track.enabled), false);
    await page.click('#toggle-camera');
    await page.waitForSelector('#toggle-camera[aria-pressed="false"]');
    assert.equal(await page.evaluate(() => window.sfuCall.publication('camera').track), null);
    await page.click('#toggle-camera');
    await page.waitForSelector('#toggle-camera[aria-pressed="true"]');
    await page.click('#toggle-stats');
    assert.ok(await page.isVisible('#stats canvas'));
    await page.keyboard.press('?');
    assert.ok(await page.isVisible('#help'));
    await page.keyboard.press('Escape');
    await page.click('#leave');
    await page.waitForSelector('#ended:not([hidden])');
    assert.equal(await page.evaluate(() => window.sfuCall.state), 'ended');
  });

  scene('a screen share is a tile of its own', async ({ server, open }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s');
    await joined(page);
    const track = { track: 't-s', kind: 'video', source: 'screen', muted: false, enc: { format: 'sframe', key_index: 0 } };
    const sound = { ...track, track: 't-sa', kind: 'audio', source: 'screen_audio' };
    server.command({ do: 'say', message: { t: 'participant', b: { event: 'joined', participant: { id: 'p-x', name: 'Xena', tracks: [track, sound] } } } });
    await page.waitForSelector('#stage .tile video[data-participant="Xena"][data-source="screen"]');
    await page.waitForSelector('#stage .tile audio[data-participant="Xena"][data-source="screen"]', { state: 'attached' });
    server.command({ do: 'say', message: { t: 'participant', b: { event: 'updated', participant: { id: 'p-x', name: 'Xena', tracks: [] } } } });
    await page.waitForSelector('#stage', { state: 'hidden' });
  });

  scene('a video that the connection does not bear says so on its tile, until it flows again', async ({ server, open }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s');
    await joined(page);
    const tell = (paused) => server.command({ do: 'say', message: { t: 'subscribed', b: { tracks: [{ track: 't-0-v', mid: '5', ...(paused ? { paused } : { rid: 'q' }) }] } } });
    const note = (name) => page.locator(`.tile[aria-label="${name}"] .note`);
    tell('bandwidth');
    await note('Ada Lovelace').waitFor({ state: 'visible' });
    assert.match(await note('Ada Lovelace').textContent(), /your connection is slow/);
    assert.equal(await note('Grace').isVisible(), false);
    assert.equal(await page.getAttribute('.tile[aria-label="Ada Lovelace"]', 'class').then((all) => all.includes('starved')), true);
    tell(null);
    await note('Ada Lovelace').waitFor({ state: 'hidden' });
    assert.equal(await page.$$eval('.starved', (all) => all.length), 0);
    tell('bandwidth');
    await note('Ada Lovelace').waitFor({ state: 'visible' });
    server.command({ do: 'forget' });
    server.command({ do: 'drop' });
    await note('Ada Lovelace').waitFor({ state: 'hidden' });
  });

  scene('ends are told in plain words', async ({ server, open }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s');
    await joined(page);
    server.command({ do: 'close', code: 4409 });
    await page.waitForSelector('#ended:not([hidden])');
    assert.equal(await page.textContent('#ended-title'), 'You joined somewhere else');
    for (const [room, title] of [['closed', 'No guests here'], ['refused', 'The server did not let you in']]) {
      await page.goto(`${new URL(page.url()).origin}/call/${room}?autojoin=1#s`);
      await page.waitForSelector('#ended:not([hidden])');
      assert.equal(await page.textContent('#ended-title'), title);
    }
  });

  scene('without devices one joins all the same, and is told', async ({ open, lastOffer }) => {
    const page = await open('/call/room?name=Zoe', { permissions: [] });
    await page.context().addInitScript(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'));
    });
    await page.goto(`${new URL(page.url()).origin}/call/room?name=Zoe&autojoin=1#s`);
    await joined(page);
    await assertEventually(() => lastOffer()?.tracks.length === 0);
    assert.match(await page.textContent('#toasts'), /No camera was found/);
  });

  scene('a link without a secret: a person gets one and is told, a script gets none and an honest badge', async ({ open, lastOffer }) => {
    const person = await open('/call/room');
    await person.waitForFunction(() => location.hash.length > 20);
    assert.match(await person.textContent('#lobby-encryption-text'), /new one was made/);
    await person.fill('#name', 'Zoe');
    await person.click('#join');
    await joined(person);
    const script = await open('/call/room?name=Zoe&autojoin=1');
    await joined(script);
    assert.equal(await script.getAttribute('#encryption', 'data-state'), 'off');
    await assertEventually(() => lastOffer()?.tracks.length === 2 && lastOffer().tracks.every(({ enc }) => enc === undefined));
    assert.equal(await script.evaluate(() => location.hash), '');
  });

  scene('320 pixels are enough, and everything can be reached with Tab', async ({ open }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s', { viewport: { width: 320, height: 560 } });
    await joined(page);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 320);
    const tops = await page.$$eval('.bar button', (all) => all.filter((button) => button.offsetParent).map((button) => button.getBoundingClientRect().bottom));
    assert.ok(tops.every((bottom) => bottom <= 560));
    const reached = new Set();
    for (let i = 0; i < 25; i++) {
      await page.keyboard.press('Tab');
      reached.add(await page.evaluate(() => document.activeElement?.id ?? ''));
    }
    for (const id of ['copy-link', 'toggle-mic', 'toggle-camera', 'toggle-screen', 'open-devices', 'toggle-stats', 'leave']) assert.ok(reached.has(id), id);
  });

  scene('every control has a name, and nothing broke the content security policy', async ({ open }) => {
    const page = await open('/call/room?name=Zoe&autojoin=1#s');
    await joined(page);
    const nameless = await page.$$eval('button, input, select, [role="img"], video, audio', (all) =>
      all.filter((element) => !(element.hidden || element.getAttribute('aria-label') || element.textContent.trim() || element.labels?.length)).map((element) => element.outerHTML.slice(0, 80)),
    );
    assert.deepEqual(nameless, []);
    assert.deepEqual(complaints, []);
  });
});

async function assertEventually(condition, deadlineMs = 10_000) {
  const deadline = Date.now() + deadlineMs;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `in time: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
