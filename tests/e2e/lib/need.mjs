// What a test needs of this machine. A missing piece skips the test aloud; under CI it fails the run before it starts.

import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
export const ROOT = join(HERE, '../../..');
export const OUTPUT = join(HERE, '../output');

function onPath(...names) {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter).concat('/usr/sbin', '/sbin')) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here.
      }
    }
  }
  return null;
}

export const CHROMIUM = process.env.CHROMIUM ?? onPath('chromium', 'chromium-browser', 'google-chrome-stable');
export const FIREFOX = process.env.FIREFOX ?? onPath('firefox-esr', 'firefox');
export const TCPDUMP = onPath('tcpdump');
export const IP = onPath('ip');
export const TC = onPath('tc');
export const NFT = onPath('nft');
export const SETPRIV = onPath('setpriv');
const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
export const SERVER = process.env.SFU_SERVER ?? join(target, 'debug/sfu-server');
export const BENCH = process.env.SFU_BENCH ?? join(target, 'debug/sfu-bench');
export const SYNAPSE_PYTHON = process.env.SYNAPSE_PYTHON ?? join(ROOT, '.demo/synapse/bin/python');

const PIECES = {
  server: () => existsSync(SERVER) || `${SERVER} is missing: cargo build -p sfu-server, or set SFU_SERVER`,
  bench: () => existsSync(BENCH) || `${BENCH} is missing: cargo build -p sfu-server -p sfu-bench --features sfu-bench/matrix, or set SFU_BENCH`,
  chromium: () => CHROMIUM !== null || 'Chromium is missing: install it, or set CHROMIUM',
  firefox: () => FIREFOX !== null || 'Firefox is missing: install it, or set FIREFOX',
  tc: () => TC !== null || 'tc (iproute2) is missing',
  nft: () => NFT !== null || 'nft (nftables) is missing',
  tcpdump: () => TCPDUMP !== null || 'tcpdump is missing',
  synapse: () => existsSync(SYNAPSE_PYTHON) || `Synapse is missing (${SYNAPSE_PYTHON}): make demo-matrix-deps, or set SYNAPSE_PYTHON`,
  openssl: () => onPath('openssl') !== null || 'openssl is missing',
  netns: () => inNamespace() || 'not inside netns.sh: start the tests with npm run smoke or npm run full',
};

/** Whether only the interfaces of `netns.sh` are here. Media must never leave over a real one. */
function inNamespace() {
  return process.env.SFU_E2E_NETNS === 'inside' && Object.keys(networkInterfaces()).every((name) => ['lo', 'd0', 'd1'].includes(name));
}

/** What is missing, as sentences. */
export function missing(...pieces) {
  return pieces.map((piece) => PIECES[piece]()).filter((answer) => answer !== true);
}

/** For the `skip` option of a test: `false`, or the reason. Being outside of the namespace is no reason to skip but an error. */
export function need(...browsers) {
  const outside = missing('netns', 'server');
  if (outside.length > 0) throw new Error(outside.join('; '));
  const absent = missing(...browsers);
  if (absent.length === 0) return false;
  if (process.env.CI === 'true') throw new Error(absent.join('; '));
  return `SKIPPED, ${absent.join('; ')}`;
}

/** Whether `netns.sh` works here; its complaint if not. */
export function namespaceProblem() {
  try {
    execFileSync(join(HERE, '../netns.sh'), ['true'], { stdio: ['ignore', 'ignore', 'pipe'] });
    return null;
  } catch (error) {
    return String(error.stderr ?? error);
  }
}
