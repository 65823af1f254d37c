// A server and browsers that are gone when the test is over, however it went.

import { launchChromium } from './chromium.mjs';
import { launchFirefox } from './firefox.mjs';
import { startServer } from './server.mjs';

/** `t`: the test's context. Prints the server's last words when the test fails. */
export function scene(t) {
  const ends = [];
  t.after(async () => {
    for (const end of ends.reverse()) await end().catch((error) => t.diagnostic(`while ending: ${error.message}`));
  });
  const kept = (thing, end) => {
    ends.push(end);
    return thing;
  };
  return {
    async server(options) {
      const server = await startServer(options);
      return kept(server, async () => {
        if (process.env.SFU_E2E_LOG) for (const line of server.log) console.error(line);
        await server.stop();
      });
    },
    async chromium(options) {
      const browser = await launchChromium(options);
      return kept(browser, () => browser.close());
    },
    async firefox() {
      const browser = await launchFirefox();
      return kept(browser, () => browser.close());
    },
    /** Anything else with an end. */
    keep: kept,
  };
}
