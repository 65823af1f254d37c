// The golden contents of the crate `focus-signaling`, and what its own tests ask of a link.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { CONTENT_BYTES_MAX, MESSAGE_BYTES_MAX, parseContent, type Claims, type Content } from '../../src/todevice/content.ts';
import { ACK_DELAY_MS, GIVE_UP_MS, Link, WINDOW, type LinkEnd } from '../../src/todevice/link.ts';
import { Assembly, BEGIN_FRAME, closeFrame, frames, PART_BYTES_MAX, type Frame } from '../../src/todevice/frames.ts';
import { Chance, FakeClock } from './helpers.ts';

const GOLDEN = path.resolve('../../crates/focus-signaling/golden/to_device');
const CLAIMS: Claims = { room_id: '!r:x', slot_id: 'm.call#ROOM', member_id: 'm' };

for (const file of readdirSync(GOLDEN).sort()) {
  test(`golden/to_device/${file}`, () => {
    const golden: unknown = JSON.parse(readFileSync(path.join(GOLDEN, file), 'utf8'));
    const [kind, fault] = file.split('_');
    assert.ok(kind === 'good' || kind === 'junk');
    assert.deepEqual(parseContent(golden), kind === 'good' ? golden : fault);
  });
}

test('a content has bounds, and unknown fields are left out', () => {
  const good = { ...CLAIMS, session: 's', seq: 1, m: { t: 'hello' } };
  assert.deepEqual(parseContent({ ...good, later: 1, dest_session: null }), good);
  assert.equal(parseContent({ ...good, m: 'x'.repeat(CONTENT_BYTES_MAX) }), 'too-large');
  assert.equal(parseContent({ ...good, room_id: 'ä'.repeat(128) }), 'field', 'bytes count, not characters');
  const longest = { room_id: 'w'.repeat(255), slot_id: 'w'.repeat(255), member_id: 'w'.repeat(255), session: 's'.repeat(32), dest_session: 's'.repeat(32), seq: 2 ** 53 - 1, ack: 2 ** 53 - 1, m: 'x'.repeat(MESSAGE_BYTES_MAX - 2) };
  assert.deepEqual(parseContent(longest), longest);
  for (const junk of [null, undefined, 7, 'x', []]) assert.equal(parseContent(junk), 'json');
});

interface End {
  readonly link: Link;
  readonly sent: Content[];
  readonly got: unknown[];
  readonly ends: LinkEnd[];
}

function end(clock: FakeClock, session: string, theirs?: string): End {
  const [sent, got, ends]: [Content[], unknown[], LinkEnd[]] = [[], [], []];
  const link = new Link({ clock, claims: CLAIMS, session, ...(theirs === undefined ? {} : { theirs }), transmit: (content) => sent.push(content), message: (m) => got.push(m), ended: (how) => ends.push(how) });
  return { link, sent, got, ends };
}

function pair(): { clock: FakeClock; a: End; b: End; say: (from: End, m: unknown) => Content } {
  const clock = new FakeClock();
  const say = (from: End, m: unknown): Content => {
    assert.equal(from.link.send(m), 'sent');
    const content = from.sent.pop();
    assert.ok(content);
    return content;
  };
  return { clock, a: end(clock, 'a'), b: end(clock, 'b', 'a'), say };
}

test('messages are passed on in order and once, and one acknowledgement serves for all', () => {
  const { clock, a, b, say } = pair();
  const events = [0, 1, 2].map((n) => say(a, { n }));
  for (const at of [2, 0, 2, 0, 1, 1]) b.link.handle(events[at] as Content);
  assert.deepEqual([b.got, b.link.ignored], [[{ n: 0 }, { n: 1 }, { n: 2 }], 3]);
  clock.advance(ACK_DELAY_MS);
  assert.deepEqual(b.sent, [{ ...CLAIMS, session: 'b', dest_session: 'a', ack: 3 }]);
  a.link.handle(b.sent[0] as Content);
  clock.advance(60_000);
  assert.deepEqual([a.sent, a.ends, b.sent.length], [[], [], 1], 'nothing is waited for');
});

test('an answer carries the acknowledgement, and from then on the id of the other end', () => {
  const { a, b, say } = pair();
  b.link.handle(say(a, 0));
  const answer = say(b, 1);
  assert.equal(answer.ack, 1);
  a.link.handle(answer);
  assert.equal(say(a, 2).dest_session, 'b');
});

test('it is sent again after 1, 2, 4 and 4 s, and given up after 15', () => {
  const { clock, a } = pair();
  a.link.send(0);
  const times: number[] = [];
  let known = a.sent.length;
  while (clock.now() < 20_000) {
    clock.advance(250);
    for (; known < a.sent.length; known++) times.push(clock.now());
    if (a.ends.length > 0 && times.at(-1) !== GIVE_UP_MS) times.push(clock.now());
    if (a.ends.length > 0) break;
  }
  assert.deepEqual(times, [1_000, 3_000, 7_000, 11_000, GIVE_UP_MS]);
  assert.deepEqual(a.ends, [{ by: 'silence' }]);
  assert.equal(a.link.send(1), 'ended');
  assert.ok(a.link.isOver);
});

test('what belongs elsewhere changes nothing', () => {
  const { clock, a, b, say } = pair();
  const good = say(a, 0);
  const { seq: _seq, m: _m, ...bare } = good;
  const forged: Content[] = [
    { ...good, session: 'z' },
    { ...good, dest_session: 'z' },
    { ...good, member_id: 'other' },
    { ...good, room_id: '!other:x' },
    { ...good, slot_id: 'other' },
    { ...good, seq: 1 + WINDOW },
    { ...bare, dest_session: 'z', close: 1000 },
  ];
  for (const content of forged) b.link.handle(content);
  assert.deepEqual([b.got, b.ends, b.link.ignored], [[], [], forged.length]);
  b.link.handle(good);
  assert.deepEqual(b.got, [0]);
  // Who spoke first hears nobody who does not know whom he answers.
  const { dest_session: _to, ...stray } = say(b, 1);
  a.link.handle(stray);
  assert.deepEqual(a.got, []);
  // An acknowledgement of what was never sent.
  a.link.handle({ ...CLAIMS, session: 'b', dest_session: 'a', ack: 99 });
  clock.advance(1_000);
  assert.equal(a.sent.length, 1, 'it is sent again');
});

test('the end comes after what was said, and who closed hears that it came', () => {
  const { clock, a, b, say } = pair();
  const said = say(a, 0);
  a.link.close(1000);
  b.link.handle(a.sent.pop() as Content);
  assert.deepEqual([b.got, b.ends], [[], []]);
  b.link.handle(said);
  assert.deepEqual([b.got, b.ends], [[0], [{ by: 'close', code: 1000 }]]);
  clock.advance(ACK_DELAY_MS);
  a.link.handle(b.sent.pop() as Content);
  assert.ok(a.link.isOver && b.link.isOver);
});

test('an end that forgot says so', () => {
  const { a, say } = pair();
  say(a, 0);
  a.link.handle({ ...CLAIMS, session: '?', dest_session: 'a', close: 1001 });
  assert.deepEqual(a.ends, [{ by: 'close', code: 1001 }]);
  assert.ok(a.link.isOver);
});

test('bounds hold', () => {
  const { a, b, say } = pair();
  assert.equal(a.link.send('x'.repeat(CONTENT_BYTES_MAX)), 'too-large');
  const events = Array.from({ length: WINDOW }, (_, n) => say(a, n));
  assert.equal(a.link.send('one more'), 'full');
  for (const event of events.slice(1)) b.link.handle(event);
  assert.deepEqual(b.got, []);
  b.link.handle(events[0] as Content);
  assert.equal(b.got.length, WINDOW);
});

test('a bad network changes nothing but time', () => {
  for (let seed = 0; seed < 100; seed++) {
    const chance = new Chance(seed);
    const { clock, a, b } = pair();
    const ends = [a, b] as const;
    const old: { to: End; content: Content }[] = [];
    const said = [0, 0];
    while (clock.now() < 120_000 && !ends.every(({ got }) => got.length === 20)) {
      clock.advance(50);
      for (const [at, from] of ends.entries()) {
        const to = ends[1 - at] as End;
        if ((said[at] ?? 0) < 20 && (at === 0 || b.got.length > 0) && chance.is(5)) {
          const result = from.link.send(said[at]);
          assert.ok(result === 'sent' || result === 'full');
          if (result === 'sent') said[at] = (said[at] ?? 0) + 1;
        }
        for (const content of from.sent.splice(0)) {
          old.push({ to, content });
          // A message and its four repetitions are lost together once in thirty thousand.
          const copies = chance.is(8) ? 0 : 1 + Number(chance.is(20));
          for (let i = 0; i < copies; i++) clock.after(20 + chance.below(700), () => to.link.handle(content));
        }
      }
      const again = chance.is(3) ? old[chance.below(old.length)] : undefined;
      if (again) again.to.link.handle(again.content);
      assert.deepEqual([...a.ends, ...b.ends], [], `seed ${seed}`);
    }
    const all = Array.from({ length: 20 }, (_, n) => n);
    assert.deepEqual([a.got, b.got], [all, all], `seed ${seed}`);
  }
});

// --- frames of the data channel

function together(parts: readonly Uint8Array[], most?: number): (Frame | 'fault' | null)[] {
  const assembly = new Assembly(most);
  return parts.map((part) => assembly.handle(part));
}

test('messages of every size come back whole from a channel', () => {
  for (const length of [1, PART_BYTES_MAX - 1, PART_BYTES_MAX, PART_BYTES_MAX + 1, 256 * 1024]) {
    // Two bytes each, so that parts end within a character.
    const text = length % 2 === 0 ? 'ä'.repeat(length / 2) : 'x'.repeat(length);
    const parts = frames(text);
    assert.ok(parts.every((part) => part.length <= 16 * 1024));
    const got = together(parts);
    assert.deepEqual(got.pop(), { is: 'text', text });
    assert.ok(got.every((part) => part === null));
  }
  assert.deepEqual(together([closeFrame(4409)]), [{ is: 'close', code: 4409 }]);
  const bytes = (kind: number, text: string): Uint8Array => Uint8Array.of(kind, ...new TextEncoder().encode(text));
  assert.deepEqual(together([bytes(0, 'ab'), BEGIN_FRAME, bytes(1, 'c')]), [null, { is: 'begin' }, { is: 'text', text: 'c' }], 'half a message is forgotten');
  for (const junk of [[], [4], [0x7b, 0x7d], [2, 17], [1, 0xff]]) assert.deepEqual(together([Uint8Array.from(junk)]), ['fault'], String(junk));
  const large = [bytes(0, 'ab'), bytes(0, 'cd'), bytes(0, 'ef'), bytes(1, 'g'), bytes(1, 'abc'), bytes(1, 'abcd'), bytes(1, 'ab')];
  const text = (words: string): Frame => ({ is: 'text', text: words });
  assert.deepEqual(together(large, 3), [null, 'fault', null, null, text('abc'), 'fault', text('ab')], 'what is too large is a fault once');
});
