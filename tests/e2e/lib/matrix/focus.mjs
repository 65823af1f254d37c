// The focus as an operator of two homeservers runs it: a configuration file, a key, an application service of each.

import { mkdir, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { parseMetrics } from '../metrics.mjs';
import { SERVER } from '../need.mjs';
import { until } from '../wait.mjs';
import { startChild } from './child.mjs';
import { initMatrix } from './init.mjs';

const START_MS = 15_000;
/** Candidates that clients are told, at most. */
const ADVERTISE_MAX = 8;

/** All of this machine's own: outside of `--dev` the server leaves out loopback, and here everybody is on it. */
function addresses() {
  const all = Object.values(networkInterfaces()).flat().filter(({ family }) => family === 'IPv4');
  return [...new Set(['127.0.0.1', ...all.map(({ address }) => address)])].slice(0, ADVERTISE_MAX);
}

/** TOML needs no more than JSON has, for text and numbers and lists of them. */
const toml = (sections) =>
  sections.map(([head, values]) => [head, ...Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)].join('\n')).join('\n\n');

/**
 * Prepares it for `homeservers`: `{ serverName, url }`. `registered` tells what each of them has to know. `device`: the account
 * on the first of them with which it takes signalling by to-device messages; the first announces it without any address then.
 * `env`: single options.
 */
export async function prepareFocus({ folder, port, metricsPort, homeservers, device = null, env = {} }) {
  await mkdir(join(folder, 'state'), { recursive: true, mode: 0o700 });
  const file = join(folder, 'focus.toml');
  const origin = `http://localhost:${port}`;
  const basis = [
    ['[http]', { listen: `127.0.0.1:${port}` }],
    ['[media]', { listen: [`0.0.0.0:${port}`], advertise: addresses(), workers: 1 }],
    ['[metrics]', { listen: `127.0.0.1:${metricsPort}` }],
    ['[state]', { dir: join(folder, 'state') }],
  ];
  await writeFile(file, toml(basis));
  const registered = [];
  // One after the other: the first makes the key.
  for (const [index, { serverName, url }] of homeservers.entries()) {
    registered.push(await initMatrix({ folder, name: `hs${index + 1}`, configuration: file, serverName, homeserverUrl: url, publicUrl: origin, focusUrl: `http://127.0.0.1:${port}` }));
  }
  const section = ({ serverName, url, asTokenFile, hsTokenFile }) => ['[[matrix.homeservers]]', { server_name: serverName, url, as_token_file: asTokenFile, hs_token_file: hsTokenFile }];
  const access = [['[matrix]', { mode: 'appservice', public_url: origin }]];
  let address = null;
  if (device) {
    const passwordFile = join(folder, 'device-password');
    await writeFile(passwordFile, `${device.password}\n`, { mode: 0o600 });
    address = { user_id: `@${device.localpart}:${homeservers[0].serverName}`, device_id: device.deviceId };
    access.push(['[matrix.device]', { ...address, password_file: passwordFile }]);
    for (const [index, each] of registered.entries()) {
      each.transports = each.transports.map(({ url, service_url, ...rest }) => ({ ...(index === 0 ? {} : { url, service_url }), ...rest, matrix: address }));
    }
  }
  await writeFile(file, toml([...basis, ...access, ...registered.map(section)]));

  const log = [];
  let child = null;
  const focus = {
    origin,
    port,
    log,
    registered,
    /** Its Matrix device, if it has one. */
    address,
    get pid() {
      return child?.pid ?? null;
    },
    /** Resolves when the present process ends. */
    get exited() {
      return child?.exited ?? null;
    },
    async start() {
      child = startChild(SERVER, ['--config', file], { env, log });
      await until(
        'the focus is ready',
        async () => child.ended !== null || (await fetch(`http://127.0.0.1:${port}/healthz`)).ok,
        { deadlineMs: START_MS, describe: () => log.slice(-15).join('\n') },
      );
      if (child.ended) throw new Error(`the focus ended (${JSON.stringify(child.ended)}):\n${log.slice(-15).join('\n')}`);
      return focus;
    },
    async stop(signal = 'SIGTERM') {
      await child?.stop(signal);
      child = null;
    },
    async metrics() {
      return parseMetrics(await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text());
    },
    /** What it says of its homeservers, by name. */
    async homeservers() {
      const { matrix } = await (await fetch(`http://127.0.0.1:${port}/readyz`)).json();
      return matrix?.homeservers ?? {};
    },
  };
  return focus;
}
