// A server process of the rig: started, watched, ended. It writes its last words into `log`.

import { spawn } from 'node:child_process';
import { SETPRIV } from '../need.mjs';

const LOG_LINES_MAX = 5000;
/** From the polite signal to the one that cannot be refused. */
const END_MS = 5000;

const running = new Set();
// However this process ends, nothing of its own is left behind. What it cannot see coming, the kernel does (`--pdeathsig`).
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

let ending = false;
/** Ends every child at once, for a process that is about to end itself: nothing can be started any more. */
export async function endChildren() {
  ending = true;
  await Promise.all([...running].map((child) => new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill('SIGKILL');
  })));
}

export function startChild(command, args, { env = {}, cwd, log = [] } = {}) {
  if (ending) throw new Error('everything is being ended');
  // Its own process group: Ctrl-C in a terminal reaches this process alone, which then ends its children in order.
  const [program, words] = SETPRIV ? [SETPRIV, ['--pdeathsig', 'KILL', command, ...args]] : [command, args];
  const child = spawn(program, words, { cwd, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  running.add(child);
  const note = (chunk) => {
    log.push(...String(chunk).split('\n').filter(Boolean));
    log.splice(0, Math.max(0, log.length - LOG_LINES_MAX));
  };
  child.stdout.on('data', note);
  child.stderr.on('data', note);

  let end = null;
  const exited = new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, error: error.message }));
    child.once('exit', (code, signal) => resolve({ code, signal, error: null }));
  });
  void exited.then((how) => {
    end = how;
    running.delete(child);
  });

  return {
    pid: child.pid,
    log,
    exited,
    /** `null` while it runs, then `{ code, signal, error }`. */
    get ended() {
      return end;
    },
    signal: (name) => child.kill(name),
    /** Ends it, politely first. */
    async stop(name = 'SIGTERM') {
      child.kill(name);
      const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}
