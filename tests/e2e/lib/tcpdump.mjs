// Everything that crosses any interface of the namespace, as packets.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OUTPUT, TCPDUMP } from './need.mjs';

const ETHERNET_COOKED_V2 = 276;
const COOKED_V2_HEADER = 20;

export async function startCapture(name) {
  mkdirSync(OUTPUT, { recursive: true });
  const file = join(OUTPUT, `${name}.pcap`);
  // As root tcpdump would drop to a user that a user namespace does not have.
  const child = spawn(TCPDUMP, ['-i', 'any', '-y', 'LINUX_SLL2', '-Z', 'root', '-s', '0', '-U', '-w', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  let said = '';
  await new Promise((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      said += chunk;
      if (/listening on/.test(said)) resolve();
    });
    void exited.then(() => reject(new Error(`tcpdump: ${said}`)));
  });
  return {
    file,
    /** Ends the capture and returns the IPv4 packets: `[{ protocol: 'udp' | 'tcp', source, destination, payload }]`. */
    async stop() {
      child.kill('SIGINT');
      await exited;
      return parse(readFileSync(file));
    },
    kill: () => child.kill('SIGKILL'),
  };
}

function parse(pcap) {
  if (pcap.readUInt32LE(0) !== 0xa1b2c3d4 || pcap.readUInt32LE(20) !== ETHERNET_COOKED_V2) throw new Error('not the pcap that was asked for');
  const packets = [];
  let at = 24;
  while (at + 16 <= pcap.length) {
    const length = pcap.readUInt32LE(at + 8);
    const frame = pcap.subarray(at + 16, at + 16 + length);
    at += 16 + length;
    const ip = frame.subarray(COOKED_V2_HEADER);
    if (frame.readUInt16BE(0) !== 0x0800 || ip[0] >> 4 !== 4) continue;
    const transport = ip.subarray((ip[0] & 15) * 4, ip.readUInt16BE(2));
    const protocol = { 6: 'tcp', 17: 'udp' }[ip[9]];
    if (!protocol) continue;
    const header = protocol === 'udp' ? 8 : (transport[12] >> 4) * 4;
    packets.push({ protocol, source: transport.readUInt16BE(0), destination: transport.readUInt16BE(2), payload: transport.subarray(header) });
  }
  return packets;
}
