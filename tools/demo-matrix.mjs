// `make demo-matrix`: two homeservers, the focus, an encrypted room with a user of each; prints a link for each user and stays
// until SIGINT or SIGTERM. Needs no network, makes no namespace, keeps nothing.

import { readFileSync } from 'node:fs';
import { endChildren } from '../tests/e2e/lib/matrix/child.mjs';
import { startRig } from '../tests/e2e/lib/matrix/rig.mjs';
import { matrixLink } from '../tests/e2e/lib/matrix/link.mjs';
import { missing } from '../tests/e2e/lib/need.mjs';

const PARENT_POLL_MS = 500;

const absent = missing('server', 'synapse', 'openssl');
if (absent.length > 0) {
  console.error(absent.map((line) => `demo-matrix: ${line}`).join('\n'));
  process.exit(1);
}

let rig = null;
let ending = false;

/** Bounded: whoever does not end by itself is killed. What is still starting has nothing to lose, and is killed at once. */
async function end(code) {
  if (ending) return;
  ending = true;
  await (rig ? rig.close() : endChildren()).catch((error) => console.error(`demo-matrix: ${error.message}`));
  process.exit(code);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void end(0));

/**
 * make passes SIGTERM on to what it runs, but not a SIGINT that was sent to make alone: it takes it and waits for us. And when make
 * is killed, nobody tells us. Both can be seen from here.
 */
function followMake() {
  const make = process.ppid;
  const status = (pid) => readFileSync(`/proc/${pid}/status`, 'utf8');
  if (process.env.MAKELEVEL === undefined || !/^Name:\s+g?make$/m.test(status(make))) return;
  const SIGINT = 1n << 1n;
  setInterval(() => {
    // Blocked: make is in its handler, from which it does not return before we are gone.
    const waits = () => BigInt(`0x${/^SigBlk:\s+(\w+)/m.exec(status(make))[1]}`) & SIGINT;
    if (process.ppid !== make || waits()) void end(0);
  }, PARENT_POLL_MS).unref();
}
followMake();

try {
  rig = await startRig({ focusEnv: { SFU_DRAIN__TIMEOUT: '1s' }, onStep: (what) => console.log(`demo-matrix: starting ${what}`) });
  const [alice, bob] = await Promise.all([rig.user('alice', 0), rig.user('bob', 1)]);
  const room = await rig.room([alice, bob]);
  if (!ending) {
    console.log('demo-matrix: open both, each in a browser window of its own. Ctrl-C ends it.');
    for (const user of [alice, bob]) console.log(`link: ${matrixLink(rig, user, room)}`);
  }
  const how = await Promise.race([...rig.homeservers, rig.focus].map((part) => part.exited));
  if (!ending) throw new Error(`a server ended by itself: ${JSON.stringify(how)}`);
} catch (error) {
  console.error(`demo-matrix: ${error.message}`);
  await end(1);
}
