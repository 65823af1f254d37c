// The scripts that the crate `matrixrtc` plays through with its keys, with the same outcome.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Json } from '../../src/matrix/json.ts';
import { KeyBox, type Owner } from '../../src/matrix/key-box.ts';
import { readKey } from '../../src/matrix/key-message.ts';
import { KeyAsker } from '../../src/matrix/key-request.ts';
import type { KeyRules } from '../../src/matrix/key-policy.ts';
import { KeyRing } from '../../src/matrix/key-ring.ts';
import { FakeClock } from './helpers.ts';
import { goldens, member } from './matrix-helpers.ts';

/** Told by number when there are more. */
const NAMES_MAX = 8;

interface Sent {
  readonly about: string;
  readonly rules: { readonly policy: 'fixed_grace' | 'scaled'; readonly grace_ms?: number; readonly per_minute?: number; readonly leaves?: 'at_once' | 'window'; readonly use_delay_ms: number; readonly ttl_ms?: number };
  readonly steps: readonly { readonly at: number; readonly members?: Readonly<Record<string, number>>; readonly unreachable?: readonly string[]; readonly silent?: boolean; readonly asked?: string }[];
  readonly until: number;
  expected: string[];
}

function rulesOf({ policy, grace_ms, per_minute, leaves, use_delay_ms, ttl_ms }: Sent['rules']): KeyRules {
  const chosen = policy === 'scaled' ? ({ is: 'scaled', perMinute: per_minute ?? 0, leaves: leaves ?? 'at_once' } as const) : ({ is: 'fixed_grace', graceMs: grace_ms ?? 0 } as const);
  return { policy: chosen, useDelayMs: use_delay_ms, ttlMs: ttl_ms ?? null };
}

/** `at tell index names`, `at use index`; at one time in this order. */
function play({ rules, steps, until }: Sent): string[] {
  const clock = new FakeClock();
  clock.chance = 0.5;
  const lines: { at: number; index: number; what: string; text: string }[] = [];
  let unreachable: readonly string[] = [];
  let silent = false;
  const named = (name: string, createdAt = 0) => member(`@${name}:x`, { createdAt });
  const name = (user: string): string => user.slice(1, -2);
  const ring = new KeyRing({
    clock,
    rules: rulesOf(rules),
    prepare: () => undefined,
    use: (index) => void lines.push({ at: clock.now(), index, what: 'use', text: '' }),
    send: ({ request, key: { index }, to }) => {
      lines.push({ at: clock.now(), index, what: 'tell', text: ` ${to.length > NAMES_MAX ? `${to.length} members` : to.map(({ user }) => name(user)).sort().join(' ')}` });
      // The outcome comes at once, though not before this returns.
      if (!silent) clock.after(0, () => ring.sent(request, to.filter(({ user }) => unreachable.includes(name(user)))));
    },
  });
  for (const step of steps) {
    clock.advance(step.at - clock.now());
    if (step.unreachable) unreachable = step.unreachable;
    if (step.silent !== undefined) silent = step.silent;
    if (step.members) ring.setMembers(Object.entries(step.members).map(([one, createdAt]) => named(one, createdAt)));
    if (step.asked !== undefined) ring.asked(named(step.asked));
    clock.advance(0);
  }
  clock.advance(until - clock.now());
  const order = lines.sort((one, other) => one.at - other.at || (one.what < other.what ? -1 : one.what > other.what ? 1 : 0) || one.index - other.index);
  return order.map(({ at, index, what, text }) => `${at} ${what} ${index}${text}`);
}

for (const { file, golden } of goldens<Sent>('keys')) {
  test(`golden keys: ${path.basename(file)}: ${golden.about}`, () => {
    const found = play(golden);
    if (process.env['BLESS']) writeFileSync(file, `${JSON.stringify({ ...golden, expected: found }, null, 2)}\n`);
    else assert.deepEqual(found, golden.expected);
  });
}

type Named = readonly [user: string, device: string, memberId: string];
interface Received {
  readonly about: string;
  readonly own: readonly [user: string, device: string];
  readonly room: string;
  readonly slot: string;
  readonly steps: readonly { readonly at: number; readonly members?: readonly Named[]; readonly from?: readonly [user: string, device: string]; readonly type?: string; readonly content?: Json; expected: string[] }[];
}

for (const { file, golden } of goldens<Received>('keys_received')) {
  test(`golden keys that come: ${path.basename(file)}: ${golden.about}`, () => {
    const clock = new FakeClock();
    let lines: string[] = [];
    const [user, device] = golden.own;
    const box = new KeyBox({
      clock,
      room: golden.room,
      slot: golden.slot,
      own: { user, device },
      set: (identity, index, key) => void lines.push(`add ${identity} ${index} ${key[0]}`),
      remove: (identity) => void lines.push(`remove ${identity}`),
    });
    for (const step of golden.steps) {
      clock.advance(step.at - clock.now());
      lines = [];
      if (step.members) box.setMembers(step.members.map(([user, device, memberId]): Owner => ({ user, device, memberId, identity: [user, device, memberId].join(' ') })));
      if (step.from) {
        const key = readKey(step.type ?? '', step.content ?? {});
        const refused = key ? box.add(step.from[0], step.from[1], key) : 'malformed';
        if (refused !== null) lines.push(`refused ${refused}`);
      }
      if (process.env['BLESS']) step.expected = lines.sort();
      else assert.deepEqual(lines.sort(), step.expected, `at ${step.at}`);
    }
    if (process.env['BLESS']) writeFileSync(file, `${JSON.stringify(golden, null, 2)}\n`);
  });
}

interface Asked {
  readonly about: string;
  readonly steps: readonly { readonly at: number; readonly lacking?: readonly string[]; readonly opened?: readonly string[]; readonly members?: readonly string[] }[];
  readonly until: number;
  expected: string[];
}

for (const { file, golden } of goldens<Asked>('keys_asked')) {
  test(`golden questions for keys: ${path.basename(file)}: ${golden.about}`, () => {
    const clock = new FakeClock();
    const lines: string[] = [];
    const asker = new KeyAsker({ clock, ask: ({ user }) => void lines.push(`${clock.now()} ${user.slice(1, -2)}`) });
    const named = (name: string) => member(`@${name}:x`);
    for (const { at, lacking = [], opened = [], members } of golden.steps) {
      clock.advance(at - clock.now());
      for (const name of lacking) asker.lacking(named(name), true);
      for (const name of opened) asker.lacking(named(name), false);
      if (members) asker.setMembers(members.map(named));
    }
    clock.advance(golden.until - clock.now());
    if (process.env['BLESS']) writeFileSync(file, `${JSON.stringify({ ...golden, expected: lines }, null, 2)}\n`);
    else assert.deepEqual(lines, golden.expected);
  });
}
