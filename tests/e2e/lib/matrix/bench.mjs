// `sfu-bench` with users of the rig's homeservers.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BENCH } from '../need.mjs';

/**
 * Runs it and gives its code and the last line, which is JSON (`null` if there is none). `onProgress`: is told what it says
 * meanwhile.
 */
export async function runBench(rig, args, onProgress = () => {}) {
  const homeservers = rig.homeservers.flatMap(({ origin, registrationSecret }, index) => {
    const file = join(rig.folder, `registration-secret-${index}`);
    writeFileSync(file, registrationSecret, { mode: 0o600 });
    return ['--homeserver', origin, '--registration-secret-file', file];
  });
  const child = spawn(BENCH, [...args, ...homeservers], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => onProgress(String(chunk)));
  const code = await new Promise((resolve) => child.once('close', resolve));
  const last = output.trim().split('\n').at(-1);
  try {
    return { code, output, report: JSON.parse(last) };
  } catch {
    return { code, output, report: null };
  }
}
