// A TCP proxy on loopback, for one participant: its page, its token request and its WebSocket go through it, its media does
// not. `cut` is then what a failing network is for that participant's signalling.

import { createServer, connect } from 'node:net';

export async function startProxy(targetPort) {
  const sockets = new Set();
  let mode = 'open';
  const server = createServer((client) => {
    if (mode !== 'open') {
      client.destroy();
      return;
    }
    const upstream = connect(targetPort, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  return {
    port,
    origin: `http://localhost:${port}`,
    get connections() {
      return sockets.size / 2;
    },
    /** Every connection dies, and no new one is let through. */
    cut() {
      mode = 'cut';
      for (const socket of sockets) socket.destroy();
    },
    heal() {
      mode = 'open';
    },
    async close() {
      mode = 'cut';
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
