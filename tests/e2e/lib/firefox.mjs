// Stock Firefox over WebDriver BiDi.

import puppeteer from 'puppeteer-core';
import { FIREFOX } from './need.mjs';

const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  // Candidates of loopback addresses, as they are.
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // Nothing but the server under test is to be talked to.
  'media.gmp-manager.updateEnabled': false,
  'app.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'datareporting.healthreport.uploadEnabled': false,
  'browser.safebrowsing.downloads.remote.enabled': false,
  // A page behind others goes on as if it were in front.
  'dom.min_background_timeout_value': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
};

export async function launchFirefox() {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: PREFERENCES,
    timeout: 60_000,
    protocolTimeout: 60_000,
  });
  return {
    kind: 'firefox',
    async newPage({ init = null, initArgument = null, viewport = { width: 960, height: 600 } } = {}) {
      const context = await browser.createBrowserContext();
      const page = await context.newPage();
      await page.setViewport(viewport);
      if (init) await page.evaluateOnNewDocument(init, initArgument);
      return {
        page,
        context,
        evaluate: (work, argument) => page.evaluate(work, argument),
        goto: (url) => page.goto(url, { waitUntil: 'domcontentloaded' }),
        resize: (width, height) => page.setViewport({ width, height }),
        screenshot: (path) => page.screenshot({ path }),
        onConsole: (listener) => {
          page.on('console', (message) => listener(message.type(), message.text()));
          page.on('pageerror', (error) => listener('exception', String(error)));
        },
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
  };
}
