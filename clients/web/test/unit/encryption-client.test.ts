import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EncryptionClient } from '../../src/e2ee/client.ts';
import type { FromWorker, ToWorker } from '../../src/e2ee/messages.ts';

function client(): { client: EncryptionClient; log: string[]; say: (message: FromWorker) => void } {
  const log: string[] = [];
  const worker = {
    onmessage: null as ((event: { data: FromWorker }) => void) | null,
    postMessage: ({ type }: ToWorker) => void log.push(type),
    terminate: () => undefined,
  };
  const made = new EncryptionClient(worker as unknown as Worker, null, 0);
  return { client: made, log, say: (data) => worker.onmessage?.({ data }) };
}

test('a new key: first it is in use, then that is told, then key frames are asked for', () => {
  const { client: encryption, log, say } = client();
  encryption.on('key-in-use', ({ index }) => void log.push(`told ${index}`));
  const { index } = encryption.newKey();
  encryption.useKey(index);
  assert.deepEqual(log, ['prepare-key', 'use-key']);
  say({ type: 'key-in-use', index, keyFrames: true });
  assert.deepEqual(log.slice(2), ['told 0', 'key-frames']);
  say({ type: 'key-in-use', index: 1, keyFrames: false });
  assert.deepEqual(log.slice(4), ['told 1'], 'there the page asks, and has no senders');
});
