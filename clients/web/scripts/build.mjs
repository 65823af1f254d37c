// Bundles the call page into dist/, and with --lib the SDK into lib/, with --test the browser test page into build/.
// File names carry a hash of their content, so that the server may let browsers cache assets for ever.

import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const at = (...parts) => path.join(root, ...parts);
const common = { bundle: true, format: 'esm', target: ['chrome120', 'firefox128', 'safari17'], minify: true, legalComments: 'none', logLevel: 'warning', absWorkingDir: root };

/** Everything that a browser loads to join a call, compressed. A guard against a dependency creeping in. */
const BUDGET_BYTES = 40_000;

async function bundle(entry, outdir, extra = {}) {
  const result = await build({ ...common, entryPoints: [at(entry)], outdir, entryNames: '[name]-[hash]', metafile: true, ...extra });
  const file = Object.keys(result.metafile.outputs).find((name) => result.metafile.outputs[name].entryPoint);
  return path.basename(file);
}

async function page() {
  const assets = at('dist', 'assets');
  await mkdir(assets, { recursive: true });
  const worker = await bundle('src/e2ee/worker.ts', assets, { format: 'iife', entryNames: 'e2ee-[name]-[hash]' });
  const workerFile = JSON.stringify(`/assets/${worker}`);
  const script = await bundle('src/page/main.ts', assets, { entryNames: 'page-[hash]', define: { WORKER_FILE: workerFile } });
  const style = await bundle('src/page/style.css', assets, { entryNames: 'page-[hash]' });
  const html = await readFile(at('src/page/index.html'), 'utf8');
  await writeFile(at('dist/index.html'), withoutParts(html).replace('%STYLE%', `/assets/${style}`).replace('%SCRIPT%', `/assets/${script}`));
  const matrix = await matrixPage(assets, html, workerFile, style);
  // Old files go last, so that a server that reads this folder never meets half a page.
  const kept = [worker, script, style, ...matrix];
  for (const name of await readdir(assets)) if (!kept.includes(name)) await rm(path.join(assets, name), { recursive: true });
  await checkBudget(['dist/index.html', ...[worker, script, style].map((name) => `dist/assets/${name}`)]);
}

/** Takes out the places where the Matrix page has more. */
function withoutParts(html) {
  return html.replace(/^\s*<!--matrix:\w+-->\n/gm, '');
}

/** The same page in Matrix mode. What it needs beyond is large, so it is a page of its own. */
async function matrixPage(assets, html, workerFile, style) {
  const crypto = 'node_modules/@matrix-org/matrix-sdk-crypto-wasm/pkg/matrix_sdk_crypto_wasm_bg.wasm';
  const wasm = `matrix-crypto-${createHash('sha256').update(await readFile(at(crypto))).digest('hex').slice(0, 8)}.wasm`;
  await copyFile(at(crypto), path.join(assets, wasm));
  const define = { WORKER_FILE: workerFile, WASM_FILE: JSON.stringify(`/assets/${wasm}`), global: 'globalThis' };
  // The SDK names the wasm file by its own place. We load another copy, so that name leads nowhere and is never used.
  const script = await bundle('src/matrix/page/main.ts', assets, { entryNames: 'matrix-[hash]', define, logOverride: { 'empty-import-meta': 'silent' } });
  const extra = await bundle('src/matrix/page/style.css', assets, { entryNames: 'matrix-[hash]' });
  const styles = `/assets/${style}"><link rel="stylesheet" href="/assets/${extra}`;
  const parts = (await readFile(at('src/matrix/page/parts.html'), 'utf8')).split(/^<!--part:(\w+)-->$/m);
  let page = html.replace('%STYLE%', styles).replace('%SCRIPT%', `/assets/${script}`);
  for (let at = 1; at < parts.length; at += 2) page = page.replace(`<!--matrix:${parts[at]}-->`, () => parts[at + 1].trim());
  await writeFile(at('dist/matrix.html'), withoutParts(page));
  return [wasm, script, extra];
}

async function checkBudget(files) {
  let total = 0;
  for (const file of files) {
    const size = gzipSync(await readFile(at(file)), { level: 9 }).length;
    total += size;
    console.log(`${file}  ${size} bytes gzip`);
  }
  console.log(`total  ${total} of ${BUDGET_BYTES} bytes gzip`);
  if (total > BUDGET_BYTES) throw new Error('dist is over its size budget');
}

async function library() {
  await rm(at('lib'), { recursive: true, force: true });
  await build({ ...common, minify: false, entryPoints: [at('src/index.ts')], outdir: at('lib') });
  await build({ ...common, minify: false, entryPoints: { 'e2ee-worker': at('src/e2ee/worker.ts') }, outdir: at('lib') });
}

async function testPage() {
  const outdir = at('build', 'browser');
  await rm(outdir, { recursive: true, force: true });
  await build({ ...common, minify: false, sourcemap: 'inline', entryPoints: { worker: at('src/e2ee/worker.ts'), pair: at('test/browser/pair.ts') }, outdir });
  await writeFile(path.join(outdir, 'index.html'), '<!doctype html><meta charset="utf-8"><title>pair</title><script type="module" src="/pair.js"></script>');
}

if (process.argv.includes('--lib')) await library();
else if (process.argv.includes('--test')) await testPage();
else await page();
