// One person in a call: a page of a real browser at the link of the call.

import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import * as path from 'node:path';
import { instrument } from './instrument.mjs';
import { OUTPUT } from './need.mjs';
import { until } from './wait.mjs';

const JOIN_MS = 30_000;

export const newSecret = () => randomBytes(16).toString('base64url');

/** Small and cheap: five of these run on two cores. */
export const SMALL = { video: '320x180@15', codec: 'vp8', simulcast: '0' };

export function callLink(origin, { room, name, secret = null, autojoin = true, query = SMALL }) {
  const url = new URL(`/call/${encodeURIComponent(room)}`, origin);
  for (const [key, value] of Object.entries({ ...query, ...(name ? { name } : {}), ...(autojoin ? { autojoin: '1' } : {}) })) {
    url.searchParams.set(key, value);
  }
  if (secret) url.hash = secret;
  return url.href;
}

/** Opens a page with everything that the tests look at, at no address yet. */
export async function openParticipant(browser, name, { init = null, initArgument = undefined, ...pageOptions } = {}) {
  const tab = await browser.newPage({ init: instrument, ...pageOptions });
  if (init) await tab.context.addInitScript(init, initArgument);
  /** Errors that the page wrote to its console, and exceptions that it did not catch. */
  const errors = [];
  const console = [];
  tab.onConsole((type, text) => {
    console.push(`${type}: ${text}`);
    if (type === 'error' || type === 'exception') errors.push(text);
  });
  return {
    name,
    kind: browser.kind,
    page: tab.page,
    context: tab.context,
    errors,
    console,
    link: null,
    evaluate: tab.evaluate,
    goto(url) {
      this.link = url;
      return tab.goto(url);
    },
    resize: tab.resize,
    crash: tab.crash,
    close: tab.close,
    media: () => tab.evaluate(() => window.e2e.media()),
    state: () => tab.evaluate(() => window.e2e.state()),
    participants: () => tab.evaluate(() => window.e2e.participants()),
    text: (selector) => tab.evaluate((argument) => window.e2e.text(argument), selector),
    shown: (selector) => tab.evaluate((argument) => window.e2e.shown(argument), selector),
    click: (selector) => tab.evaluate((argument) => window.e2e.click(argument), selector),
    watch: () => tab.evaluate(() => window.e2e.watch()),
    watched: () => tab.evaluate(() => window.e2e.watched()),
    sent: () => tab.evaluate(() => window.e2e.sent()),
    traffic: () => tab.evaluate(() => window.e2e.traffic()),
    path: () => tab.evaluate(() => window.e2e.path()),
    screenshot(file) {
      mkdirSync(OUTPUT, { recursive: true });
      return tab.screenshot(path.join(OUTPUT, file));
    },
    /** Waits until the focus has let us in. */
    async joined() {
      await until(`${name} is in the call`, async () => (await this.state()) === 'joined', {
        deadlineMs: JOIN_MS,
        describe: async () => `${await this.state()}; ${console.slice(-8).join(' | ')}`,
      });
      return this;
    },
  };
}

/** Joins without a click. `at`: a server or a proxy. Other options: those of `callLink` and of the browser's `newPage`. */
export async function join(browser, at, { room, name, secret, query, ...pageOptions }) {
  const participant = await openParticipant(browser, name, pageOptions);
  await participant.goto(callLink(at.origin, { room, name, secret, ...(query ? { query: { ...SMALL, ...query } } : {}) }));
  return participant.joined();
}
