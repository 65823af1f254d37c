// What the network does to media on its way between the server and the pages. For a test inside `netns.sh`; gone when it ends.

import { execFileSync } from 'node:child_process';
import { NFT, TC } from './need.mjs';

const run = (tool, words) => execFileSync(tool, words.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });
/**
 * One packet: what the server hands over as one is taken apart, as a real interface does. And a larger bucket would let a
 * whole probe of the server's through at once, which then says nothing of the rate.
 */
const BURST_BYTES = 1600;
/** What waits at most before a slow link. */
const QUEUE_SECONDS = 0.2;
/** Of no consequence. */
const FAST = 500_000_000;

/** Whatever is sent by UDP to one of `ports` goes through a link of this rate, each port through its own. */
export function link(t, ports) {
  run(TC, 'qdisc add dev lo root handle 1: htb default 0');
  t.after(() => run(TC, 'qdisc del dev lo root'));
  const queue = (bitsPerSecond) => `tbf rate ${bitsPerSecond} burst ${BURST_BYTES} limit ${BURST_BYTES + Math.round((bitsPerSecond / 8) * QUEUE_SECONDS)}`;
  ports.forEach((port, index) => {
    run(TC, `class add dev lo parent 1: classid 1:${index + 1} htb rate 1gbit quantum 3000`);
    run(TC, `qdisc add dev lo parent 1:${index + 1} handle ${index + 10}: ${queue(FAST)}`);
    run(TC, `filter add dev lo protocol ip parent 1: u32 match ip protocol 17 0xff match ip dport ${port} 0xffff flowid 1:${index + 1}`);
  });
  return {
    /** `bitsPerSecond`: `null` lifts the limit. */
    limit(port, bitsPerSecond) {
      const index = ports.indexOf(port);
      run(TC, `qdisc change dev lo parent 1:${index + 1} handle ${index + 10}: ${queue(bitsPerSecond ?? FAST)}`);
    },
  };
}

/**
 * So many of a hundred packets between the pages and the server are lost, in both directions, at random. With `link`, or
 * what the server sends at once is lost at once.
 */
export function lose(t, server, percent) {
  run(NFT, 'add table ip loss');
  t.after(() => run(NFT, 'delete table ip loss'));
  run(NFT, 'add chain ip loss some { type filter hook input priority 0; }');
  for (const end of ['sport', 'dport']) run(NFT, `add rule ip loss some udp ${end} ${server.port} numgen random mod 100 < ${percent} counter drop`);
}
