// Ports for servers that name each other in their configuration, and so must know all of them before the first one starts.

import { createServer } from 'node:net';

const HOST = '127.0.0.1';

/** `count` different TCP ports of loopback that nobody listens on. */
export async function freePorts(count) {
  // All are held until the last one is known: closed one by one, the kernel may hand out the same number twice.
  const probes = await Promise.all(
    Array.from({ length: count }, () => new Promise((resolve, reject) => {
      const probe = createServer();
      probe.once('error', reject);
      probe.listen(0, HOST, () => resolve(probe));
    })),
  );
  const ports = probes.map((probe) => probe.address().port);
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  return ports;
}
