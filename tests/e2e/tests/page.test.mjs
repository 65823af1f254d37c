// The page itself: what it shows in its states, with the keyboard alone, and pictures of it in output/ for people to look at.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from '../lib/chromium.mjs';
import { sees } from '../lib/expect.mjs';
import { need } from '../lib/need.mjs';
import { callLink, join, newSecret, openParticipant } from '../lib/participant.mjs';
import { portrait } from '../lib/portrait.mjs';
import { startServer } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

const skip = need('chromium');
const query = { video: '640x360@15', simulcast: '0' };
let server = null;
let chrome = null;
before(async () => {
  if (!skip) [server, chrome] = await Promise.all([startServer(), launchChromium()]);
});
after(async () => {
  await chrome?.close();
  await server?.stop();
});

const visible = (participant, selector) => until(`${selector} is shown`, () => participant.shown(selector));

test('the link that the server prints leads to a call', { skip, timeout: 30_000 }, async () => {
  assert.match(server.link, /^http:\/\/localhost:\d+\/call\/[^#]+#.+/);
  const guest = await openParticipant(chrome, 'guest');
  await guest.goto(server.link);
  await visible(guest, '#join');
  assert.match(await guest.text('#lobby-encryption-text'), /End-to-end encrypted/);
  assert.deepEqual(guest.errors, []);
  await guest.close();
});

test('the front page makes a link with a secret', { skip, timeout: 30_000 }, async () => {
  const guest = await openParticipant(chrome, 'guest');
  await guest.goto(`${server.origin}/`);
  await visible(guest, '#new-call');
  await guest.screenshot('landing.png');
  await guest.page.locator('#new-call').press('Enter');
  await visible(guest, '#join');
  const { pathname, hash } = new URL(guest.page.url());
  assert.match(pathname, /^\/call\/.+/);
  assert.ok(hash.length >= 22, 'a secret of 128 bits');
  await guest.close();
});

test('pictures: before the call, in it, statistics, light and dark, on a phone', { skip, timeout: 120_000 }, async () => {
  const room = 'weekly';
  const secret = newSecret();
  const person = (name, who, speaks, options) => join(chrome, server, { room, name, secret, query, init: portrait, initArgument: { who, speaks }, ...options });
  for (const colorScheme of ['dark', 'light']) {
    const guest = await openParticipant(chrome, 'guest', { colorScheme, init: portrait, initArgument: { who: 0 }, viewport: { width: 1200, height: 750 } });
    await guest.goto(callLink(server.origin, { room: 'before', name: 'Ada', secret, autojoin: false, query }));
    await until('the preview plays', () => guest.evaluate(() => document.querySelector('#preview-video').videoWidth > 0));
    await guest.screenshot(`lobby-${colorScheme}.png`);
    await guest.resize(390, 844);
    await guest.screenshot(`lobby-phone-${colorScheme}.png`);
    assert.deepEqual(guest.errors, []);
    await guest.close();
  }

  const dark = await person('Ada', 0, false, { colorScheme: 'dark', viewport: { width: 1200, height: 680 } });
  const others = [];
  for (const [index, name] of ['Grace Hopper', 'Emmy', 'Katherine J.', 'Barbara'].entries()) others.push(await person(name, index + 1, index === 0, { colorScheme: 'light', viewport: { width: 1000, height: 640 } }));
  // Most of them are silent here, so only the pictures are waited for.
  const sources = ['camera/video'];
  await sees(dark, others, { sources, deadlineMs: 40_000 });
  const [grace, emmy] = others;
  await emmy.click('#toggle-mic');
  await until('Ada sees that Emmy is muted', () => dark.evaluate(() => [...document.querySelectorAll('.tile .muted')].some((mark) => mark.checkVisibility())));
  await until('the page says that all is encrypted', async () => (await dark.text('#encryption-text')) === 'End-to-end encrypted');
  await until('Grace speaks', () => dark.evaluate(() => document.querySelector('.tile.speaking') !== null));
  await until('qualities are shown', () => dark.evaluate(() => [...document.querySelectorAll('.tile:not(.self) .quality')].every((mark) => mark.checkVisibility())));
  await dark.screenshot('call-dark.png');
  await sees(grace, [dark], { sources, alone: false });
  await grace.screenshot('call-light.png');

  await dark.click('#toggle-stats');
  await until('streams are listed', () => dark.evaluate(() => document.querySelectorAll('#streams tr').length >= 6));
  await dark.screenshot('stats-dark.png');
  await dark.click('#toggle-stats');

  await grace.click('#toggle-screen');
  await sees(dark, [grace], { sources: ['screen/video'], alone: false });
  await dark.screenshot('screen-dark.png');
  await dark.resize(390, 844);
  await until('the layout followed', () => dark.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await dark.screenshot('screen-phone.png');
  await grace.click('#toggle-screen');
  await until('the screen is gone', async () => !(await dark.media()).some(({ source }) => source === 'screen'));
  await sees(dark, others, { sources });
  await dark.screenshot('call-phone.png');
  await emmy.click('#toggle-camera');
  await until('Emmy has no picture', () => dark.evaluate(() => [...document.querySelectorAll('.tile')].some((tile) => tile.classList.contains('video-off'))));
  await dark.resize(1200, 680);
  await dark.click('#open-help');
  await dark.screenshot('help-dark.png');

  for (const one of [dark, ...others]) {
    assert.deepEqual(one.errors, [], one.name);
    await one.close();
  }
});

test('with the wrong secret and with none, the page says what is wrong', { skip, timeout: 60_000 }, async () => {
  const room = 'secrets';
  const ada = await join(chrome, server, { room, name: 'Ada', secret: newSecret() });
  const wrong = await join(chrome, server, { room, name: 'Wrong', secret: newSecret() });
  await until('wrong secret', async () => (await wrong.text('#encryption-text')) === 'Cannot decrypt', { describe: () => wrong.text('#encryption-text') });
  await wrong.screenshot('wrong-secret.png');
  await wrong.close();
  const none = await join(chrome, server, { room, name: 'None', secret: null });
  await until('no secret', async () => (await none.media()).some(({ encryption }) => encryption === 'missing-key'), { describe: () => none.media() });
  assert.equal(await none.text('#encryption-text'), 'Not end-to-end encrypted');
  await none.screenshot('no-secret.png');
  await until('Ada is told', async () => /Partly|Cannot/.test(await ada.text('#encryption-text')), { describe: () => ada.text('#encryption-text') });
  await none.close();
  await ada.close();
});

test('the keyboard alone joins, mutes and leaves', { skip, timeout: 60_000 }, async () => {
  const room = 'keyboard';
  const secret = newSecret();
  const bob = await join(chrome, server, { room, name: 'bob', secret });
  const ada = await openParticipant(chrome, 'ada');
  const { keyboard } = ada.page;
  const focused = () => ada.evaluate(() => document.activeElement?.id ?? '');
  const tabTo = async (id) => {
    for (let presses = 0; presses < 40; presses++) {
      if ((await focused()) === id) return;
      await keyboard.press('Tab');
    }
    assert.fail(`Tab does not lead to #${id}`);
  };
  await ada.goto(callLink(server.origin, { room, secret, autojoin: false }));
  await visible(ada, '#join');
  assert.equal(await focused(), 'name', 'an empty name has the focus');
  await keyboard.type('ada');
  await tabTo('join');
  await keyboard.press('Enter');
  await ada.joined();
  await sees(ada, [bob]);

  const micOff = () => bob.evaluate(() => document.querySelector('.tile .muted')?.checkVisibility() ?? false);
  await tabTo('toggle-mic');
  await keyboard.press('Space');
  await until('bob sees that ada is muted', micOff);
  await keyboard.press('m');
  await until('the shortcut unmutes', async () => !(await micOff()));
  await until('it is announced', async () => /microphone on/i.test(await ada.text('#announcer')));

  // Every control has a name for those who do not see it, and shows where the focus is.
  const nameless = await ada.evaluate(() =>
    [...document.querySelectorAll('#call button, #call [tabindex], #call select, #call input')]
      .filter((element) => element.checkVisibility() && !(element.getAttribute('aria-label') || element.textContent.trim()))
      .map((element) => element.outerHTML.slice(0, 80)),
  );
  assert.deepEqual(nameless, []);
  const outline = await ada.evaluate(() => {
    const { outlineStyle, boxShadow } = getComputedStyle(document.activeElement);
    return { outlineStyle, boxShadow };
  });
  assert.ok(outline.outlineStyle !== 'none' || outline.boxShadow !== 'none', 'the focus is visible');

  await tabTo('leave');
  await keyboard.press('Enter');
  await visible(ada, '#ended');
  assert.equal(await focused(), 'ended-title', 'the focus goes to what happened');
  await until('bob notices', async () => (await bob.participants()).length === 0);
  await ada.screenshot('left.png');
  assert.deepEqual([...ada.errors, ...bob.errors], []);
  await ada.close();
  await bob.close();
});
