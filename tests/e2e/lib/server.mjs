// The real binary, in `--dev` mode.

import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { SERVER } from './need.mjs';
import { parseMetrics } from './metrics.mjs';
import { until } from './wait.mjs';

const START_MS = 15_000;
const LOG_LINES_MAX = 5000;
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** A TCP port that nobody listens on. UDP is the server's own, so the same number is free there too. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/**
 * `mediaHost`: the address for media; all of them by default. `env`: options such as `{ SFU_MEDIA__WORKERS: '2' }`. `port`: to take the place of a server that ended.
 * The server is up when this returns.
 */
export async function startServer({ env = {}, port = null, mediaHost = '0.0.0.0' } = {}) {
  const http = port ?? (await freePort());
  const log = [];
  const note = (chunk) => {
    log.push(...String(chunk).split('\n').filter(Boolean));
    log.splice(0, log.length - LOG_LINES_MAX);
  };
  const child = spawn(SERVER, ['--dev'], {
    env: {
      PATH: process.env.PATH,
      SFU_HTTP__LISTEN: `127.0.0.1:${http}`,
      SFU_MEDIA__LISTEN: `${mediaHost}:${http}`,
      SFU_MEDIA__WORKERS: '1',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const exited = new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, error }));
    child.once('exit', (code, signal) => resolve({ code, signal, error: null }));
  });
  let end = null;
  void exited.then((how) => {
    end = how;
    running.delete(child);
  });
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
    note(chunk);
  });
  child.stderr.on('data', note);

  await until(
    'sfu-server prints its link',
    () => {
      if (end) throw new Error(`it ended: ${JSON.stringify(end)}`);
      return /open: \S+/.test(stdout);
    },
    { deadlineMs: START_MS, describe: () => log.slice(-20).join('\n') },
  );

  return {
    port: http,
    origin: `http://localhost:${http}`,
    log,
    pid: child.pid,
    /** The link that it printed. */
    link: /open: (\S+)/.exec(stdout)[1],
    /** Resolves with `{ code, signal }`. */
    exited,
    get alive() {
      return end === null;
    },
    signal(name) {
      child.kill(name);
    },
    async metrics() {
      const response = await fetch(`http://127.0.0.1:${http}/metrics`);
      return parseMetrics(await response.text());
    },
    /** At the end of a test. How it ends by itself is what `drain.test.mjs` is about. */
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
