import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parseClientMessage, parseServerMessage, serialize } from '../../src/wire.ts';

// The runner starts us in the package's folder.
const GOLDEN = path.resolve('../../crates/focus-signaling/golden');
const CLIENT = ['hello', 'offer', 'candidate', 'subscribe', 'mute', 'announce', 'keyframe', 'delegate_leave', 'take_back_leave', 'ping', 'leave'];
const SERVER = ['welcome', 'answer', 'candidate', 'participant', 'subscribed', 'mute', 'speakers', 'quality', 'delegated', 'pong', 'move', 'leave', 'error'];

const files = readdirSync(GOLDEN).filter((name) => name.endsWith('.json')).sort();
const seen = { client: new Set<string>(), server: new Set<string>() };

test('there are golden messages', () => assert.ok(files.length > 0));

for (const file of files) {
  test(`golden/${file}`, () => {
    const text = readFileSync(path.join(GOLDEN, file), 'utf8');
    const side = file.startsWith('client_') ? 'client' : 'server';
    assert.ok(side === 'client' || file.startsWith('server_'), 'named after the side that sends it');
    const message = side === 'client' ? parseClientMessage(text) : parseServerMessage(text);
    assert.ok(message, 'a type that we know');
    seen[side].add(message.t);
    assert.deepEqual(JSON.parse(serialize(message)), JSON.parse(text));
  });
}

test('every type of message has an example', () => {
  assert.deepEqual([...seen.client].sort(), [...CLIENT].sort());
  assert.deepEqual([...seen.server].sort(), [...SERVER].sort());
});

test('unknown types and fields are ignored', () => {
  assert.equal(parseServerMessage('{"t":"from-the-future","b":{}}'), null);
  assert.equal(parseServerMessage('{"t":"constructor","b":{}}'), null);
  assert.deepEqual(parseServerMessage('{"t":"pong","b":{"n":1,"more":2},"also":3}'), { t: 'pong', b: { n: 1 } });
});

test('null stands for absent, and muted and tracks must be there', () => {
  const track = { track: 't', kind: 'audio', source: 'microphone', muted: false, enc: null };
  const participant = { id: 'p', name: 'P', tracks: [track] };
  const message = parseServerMessage(JSON.stringify({ t: 'participant', b: { event: 'joined', participant } }));
  assert.deepEqual(message?.b, { event: 'joined', participant: { id: 'p', name: 'P', tracks: [{ track: 't', kind: 'audio', source: 'microphone', muted: false }] } });
});

test('what is wrong is refused, with its path', () => {
  const wrong: [string, RegExp][] = [
    ['', /not JSON/],
    ['[]', /message: not an object/],
    ['{"t":1}', /message\.t: not a string/],
    ['{"t":"pong"}', /b: not an object/],
    ['{"t":"pong","b":{"n":-1}}', /b\.n: not a count/],
    ['{"t":"pong","b":{"n":1.5}}', /b\.n: not a count/],
    ['{"t":"quality","b":{"participants":[{"participant":"p","score":"great"}]}}', /b\.participants\[0\]\.score: not one of/],
    ['{"t":"participant","b":{"event":"vanished"}}', /b\.event: not one of/],
    ['{"t":"participant","b":null}', /b: not an object/],
  ];
  for (const [text, pattern] of wrong) assert.throws(() => parseServerMessage(text), pattern);
});
