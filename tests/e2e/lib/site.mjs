// The built page, served by somebody else than the focus: for people whom nothing leads to the focus.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { ROOT } from './need.mjs';

const DIST = join(ROOT, 'clients/web/dist');
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm' };

export async function serveSite() {
  const server = createServer(async ({ url }, response) => {
    const { pathname } = new URL(url, 'http://site');
    const name = pathname === '/matrix' ? 'matrix.html' : pathname.startsWith('/assets/') && !pathname.includes('..') ? pathname : null;
    const body = name && (await readFile(join(DIST, name)).catch(() => null));
    response.writeHead(body ? 200 : 404, { 'content-type': TYPES[extname(name ?? '')] ?? 'text/plain' });
    response.end(body ?? '');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    // As the focus's own: a secure context.
    origin: `http://localhost:${server.address().port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
