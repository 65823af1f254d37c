// Encrypted frames through real encoders, packetizers and decoders. Run it inside `tests/e2e/netns.sh`.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium, firefox, haveChromium, haveFirefox } from './browsers.mjs';

const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../build/browser');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript' };

const server = createServer(async (request, response) => {
  const name = request.url === '/' ? 'index.html' : path.basename(request.url ?? '');
  try {
    const body = await readFile(path.join(folder, name));
    response.writeHead(200, { 'content-type': TYPES[path.extname(name)] ?? 'application/octet-stream' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});

let address = '';
before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${server.address().port}/`;
});
after(() => server.close());

const FRAMES = 60;
const good = { senderSecret: 'a secret', receiverSecret: 'a secret', announced: true, frames: FRAMES, deadlineMs: 30_000 };
const bad = { ...good, frames: 1, deadlineMs: 4000 };

function suite(name, available, launch, codecs) {
  describe(name, { skip: available() ? false : 'not installed' }, () => {
    let browser;
    let run;
    before(async () => {
      browser = await launch();
      const page = await browser.newPage();
      await page.goto(address);
      run = (input) => page.evaluate((value) => window.runCase(value), input);
    });
    after(() => browser?.close());

    for (const codec of codecs) {
      test(`${codec} and Opus decode, across a change of the key`, async () => {
        const outcome = await run({ ...good, codec, rotateAt: FRAMES / 2 });
        assert.ok(outcome, 'the browser has the codec');
        assert.equal(outcome.codec.toLowerCase(), `video/${codec}`);
        assert.ok(outcome.framesDecoded >= FRAMES, JSON.stringify(outcome));
        assert.ok(outcome.audioBytesHeard > 24_000, JSON.stringify(outcome));
        assert.deepEqual(outcome.states, { audio: 'ok', video: 'ok' });
        assert.ok(outcome.keyFramesDecoded >= 2, `the new key begins with a key frame: ${JSON.stringify(outcome)}`);
      });
      test(`${codec}: with another secret nothing decodes`, async () => {
        const outcome = await run({ ...bad, codec, receiverSecret: 'another secret' });
        assert.ok(outcome.framesEncoded > 20, JSON.stringify(outcome));
        assert.equal(outcome.framesDecoded, 0);
        assert.deepEqual(outcome.states, { audio: 'failed', video: 'failed' });
      });
    }
    test('without a secret nothing decodes', async () => {
      const outcome = await run({ ...bad, codec: 'vp8', receiverSecret: null });
      assert.equal(outcome.framesDecoded, 0);
      assert.deepEqual(outcome.states, { audio: 'missing-key', video: 'missing-key' });
    });
  });
}

suite('Chromium', haveChromium, chromium, ['vp8', 'vp9', 'av1', 'h264']);
// No H264: Firefox would have to download OpenH264.
suite('Firefox', haveFirefox, firefox, ['vp8', 'vp9', 'av1']);
