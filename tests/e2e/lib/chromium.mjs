// One Chromium for all of a test's Chromium participants: each gets a context of its own, which shares the process.

import { chromium } from 'playwright-core';
import { CHROMIUM } from './need.mjs';

const ARGUMENTS = [
  '--no-sandbox',
  // A moving picture with a clock and a beep each second; every permission is granted, screen sharing included.
  '--use-fake-device-for-media-stream=fps=15',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  // Several pages in one browser: none is ever in the foreground alone.
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  '--disable-background-timer-throttling',
  // Nothing but the server under test is to be talked to.
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
  '--no-default-browser-check',
  '--disable-features=OptimizationHints,MediaRouter',
];

export async function launchChromium({ args = [] } = {}) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...ARGUMENTS, ...args], timeout: 30_000 });
  return {
    kind: 'chromium',
    /** `options`: those of a Playwright context, such as `viewport` or `colorScheme`. */
    async newPage({ init = null, initArgument = null, ...options } = {}) {
      const context = await browser.newContext({ viewport: { width: 960, height: 600 }, ...options });
      if (init) await context.addInitScript(init, initArgument);
      const page = await context.newPage();
      return {
        page,
        context,
        evaluate: (work, argument) => page.evaluate(work, argument),
        goto: (url) => page.goto(url, { waitUntil: 'domcontentloaded' }),
        resize: (width, height) => page.setViewportSize({ width, height }),
        screenshot: (path) => page.screenshot({ path }),
        onConsole: (listener) => {
          page.on('console', (message) => listener(message.type(), message.text()));
          page.on('pageerror', (error) => listener('exception', String(error)));
        },
        /** Kills the page's process, as the system does when memory runs out: nothing in the page gets to say goodbye. */
        async crash() {
          const gone = new Promise((resolve) => page.once('crash', resolve));
          const session = await context.newCDPSession(page);
          void session.send('Page.crash').catch(() => undefined);
          await gone;
        },
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
  };
}
