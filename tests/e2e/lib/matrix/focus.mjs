// The focus as an operator of two homeservers runs it: a configuration file, a key file, an application service of each.

import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { parseMetrics } from '../metrics.mjs';
import { SERVER } from '../need.mjs';
import { until } from '../wait.mjs';
import { startChild } from './child.mjs';

const START_MS = 15_000;
/** Candidates that clients are told, at most. */
const ADVERTISE_MAX = 8;
/** Until the server has a [matrix] section. */
const MATRIX = false;
/** What PKCS #8 puts before the 32 bytes of an Ed25519 seed (RFC 8410). */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The key that signs tokens, and its public half, which is the focus's name in a transport. */
export function newSigningKey() {
  const seed = randomBytes(32);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
  return { seed: seed.toString('base64'), sfuId: createPublicKey(key).export({ format: 'jwk' }).x };
}

/** What both homeservers announce. */
export const transportOf = (port, sfuId) => ({
  type: 'rust_sfu',
  version: 1,
  url: `ws://localhost:${port}/rtc/v1`,
  service_url: `http://localhost:${port}`,
  sfu_id: sfuId,
  e2ee: ['sframe-rfc9605'],
});

/** All of this machine's own: outside of `--dev` the server leaves out loopback, and here everybody is on it. */
function addresses() {
  const all = Object.values(networkInterfaces()).flat().filter(({ family }) => family === 'IPv4');
  return [...new Set(['127.0.0.1', ...all.map(({ address }) => address)])].slice(0, ADVERTISE_MAX);
}

/** TOML needs no more than JSON has, for text and numbers and lists of them. */
const toml = (sections) =>
  sections.map(([head, values]) => [head, ...Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)].join('\n')).join('\n\n');

/** `homeservers`: `{ serverName, origin, asTokenFile, hsTokenFile }`. `env`: single options on top. */
export async function focusAt({ folder, port, metricsPort, signingKey, homeservers, env = {} }) {
  await mkdir(join(folder, 'state'), { recursive: true });
  const keyFile = join(folder, 'signing.key');
  await writeFile(keyFile, `${signingKey.seed}\n`, { mode: 0o600 });
  const file = join(folder, 'focus.toml');
  const origin = `http://localhost:${port}`;
  await writeFile(
    file,
    toml([
      ['[http]', { listen: `127.0.0.1:${port}` }],
      ['[media]', { listen: [`0.0.0.0:${port}`], advertise: addresses(), workers: 1 }],
      ['[metrics]', { listen: `127.0.0.1:${metricsPort}` }],
      ['[auth]', { signing_key_file: keyFile }],
      ...(MATRIX ? [['[state]', { dir: join(folder, 'state') }], ['[matrix]', { mode: 'appservice', public_url: origin }]] : []),
      ...(MATRIX ? homeservers : []).map(({ serverName, origin: url, asTokenFile, hsTokenFile }) => ['[[matrix.homeservers]]', { server_name: serverName, url, as_token_file: asTokenFile, hs_token_file: hsTokenFile }]),
    ]),
  );

  const log = [];
  let child = null;
  const focus = {
    origin,
    port,
    log,
    get pid() {
      return child?.pid ?? null;
    },
    get exited() {
      return child?.exited ?? null;
    },
    async start() {
      child = startChild(SERVER, [...(MATRIX ? [] : ['--dev']), '--config', file], { env, log });
      await until(
        'the focus is ready',
        async () => child.ended !== null || (await fetch(`http://127.0.0.1:${port}/healthz`)).ok,
        { deadlineMs: START_MS, describe: () => log.slice(-15).join('\n') },
      );
      if (child.ended) throw new Error(`the focus ended (${JSON.stringify(child.ended)}):\n${log.slice(-15).join('\n')}`);
      return focus;
    },
    signal: (name) => child?.signal(name),
    async stop(signal = 'SIGTERM') {
      await child?.stop(signal);
      child = null;
    },
    async metrics() {
      return parseMetrics(await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text());
    },
  };
  return focus;
}
