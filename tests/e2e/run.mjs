// run.mjs smoke|full|picture: checks what is needed, then runs the tests inside `netns.sh`, one file after the other.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missing, namespaceProblem } from './lib/need.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const CI = process.env.CI === 'true';

/** The order is that of a first reader's questions: does it work at all, then the rest. */
const ALL = readdirSync(join(HERE, 'tests')).filter((name) => name.endsWith('.test.mjs')).sort();
const SETS = { smoke: ['smoke.test.mjs'], full: ALL, picture: ['page.test.mjs'] };

const [set, ...only] = process.argv.slice(2);
if (!(set in SETS)) {
  console.error(`usage: node run.mjs ${Object.keys(SETS).join('|')} [part of a file name]...`);
  process.exit(2);
}

function stop(problems) {
  console.error(problems.map((problem) => `e2e: ${problem}`).join('\n'));
  if (!CI) console.error('e2e: SKIPPED, NOTHING WAS TESTED. With CI=true this is a failure.');
  process.exit(CI ? 1 : 0);
}

// Without the server there is nothing to skip to: that is a mistake of whoever called.
const server = missing('server');
if (server.length > 0) {
  console.error(`e2e: ${server.join('\n')}`);
  process.exit(1);
}
const namespace = namespaceProblem();
if (namespace) stop([namespace]);
const browsers = missing('chromium', 'firefox');
if (browsers.length === 2 || (CI && browsers.length > 0)) stop(browsers);
for (const absent of browsers) console.error(`e2e: tests that need it are SKIPPED: ${absent}`);

const files = SETS[set].filter((file) => only.length === 0 || only.some((part) => file.includes(part))).map((file) => join('tests', file));
// Node 20 has a WebSocket, and hides it.
const webSocket = globalThis.WebSocket ? [] : ['--experimental-websocket'];
const child = spawn('./netns.sh', [process.execPath, ...webSocket, '--test', '--test-concurrency=1', ...files], { cwd: HERE, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(signal ? 1 : code));
