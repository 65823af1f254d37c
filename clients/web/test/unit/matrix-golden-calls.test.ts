// The scripts of ringing and of history that the crate `matrixrtc` plays through, with the same outcome.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { History } from '../../src/matrix/history.ts';
import type { HistoryItem } from '../../src/matrix/history-items.ts';
import { Incoming, Outgoing } from '../../src/matrix/ringing.ts';
import { goldens, raw, type WireEvent } from './matrix-helpers.ts';

/** With `BLESS` in the environment the file is written instead; the crate then has its say. */
function check<T extends { expected: string[] }>(file: string, golden: T, found: string[]): void {
  if (process.env['BLESS']) writeFileSync(file, `${JSON.stringify({ ...golden, expected: found }, null, 2)}\n`);
  else assert.deepEqual(found, golden.expected);
}

interface Script {
  readonly about: string;
  readonly me: string;
  readonly from: number;
  readonly steps: readonly { readonly at: number; readonly members?: readonly string[]; readonly event?: WireEvent; readonly decline?: boolean }[];
  readonly until: number;
  expected: string[];
}

/** Runs the steps; `timeout` at each due time of `until()` in between. */
function run({ from, steps, until }: Script, machine: { due: () => number | null; timeout: () => void; step: (step: Script['steps'][number]) => void }, time: { now: number }): void {
  time.now = from;
  const goTo = (at: number): void => {
    for (let due = machine.due(); due !== null && due <= at; due = machine.due()) {
      time.now = Math.max(time.now, due);
      machine.timeout();
    }
    time.now = at;
  };
  for (const step of steps) {
    goTo(step.at);
    machine.step(step);
  }
  goTo(until);
}

for (const { file, golden } of goldens<Script & { readonly slot: string }>('ringing')) {
  test(`golden ringing: ${path.basename(file)}: ${golden.about}`, () => {
    const time = { now: 0 };
    const lines: string[] = [];
    const say = (text: string): void => void lines.push(`${time.now - golden.from} ${text}`);
    const incoming = new Incoming({
      me: golden.me,
      slot: golden.slot,
      wallClock: () => time.now,
      started: ({ eventId, caller, loud }) => say(`${loud ? 'ring' : 'show'} ${eventId} ${caller}`),
      stopped: (eventId, why) => say(`stop ${eventId} ${why}`),
    });
    const step = ({ members, event, decline }: Script['steps'][number]): void => {
      if (members) incoming.setMembers(members);
      if (event?.redacts) incoming.redacted(event.redacts);
      else if (event) incoming.handle(raw(event));
      if (decline) say(`decline ${incoming.decline()}`);
    };
    run(golden, { due: () => incoming.ringing?.until ?? null, timeout: () => incoming.timeout(), step }, time);
    check(file, golden, lines);
  });
}

for (const { file, golden } of goldens<Script & { readonly notification: string; readonly callees: readonly string[]; readonly lifetime_ms: number }>('ringing_outgoing')) {
  test(`golden ringing of ours: ${path.basename(file)}: ${golden.about}`, () => {
    const time = { now: golden.from };
    const lines: string[] = [];
    const outgoing = new Outgoing({ me: golden.me, notification: golden.notification, callees: golden.callees, lifetimeMs: golden.lifetime_ms, wallClock: () => time.now });
    const look = (): void => {
      if (outgoing.outcome !== null && lines.length === 0) lines.push(`${time.now - golden.from} ${outgoing.outcome}`);
    };
    const step = ({ members, event }: Script['steps'][number]): void => {
      if (members) outgoing.setMembers(members);
      if (event) outgoing.handle(raw(event));
      look();
    };
    const timeout = (): void => {
      outgoing.timeout();
      look();
    };
    run(golden, { due: () => (outgoing.outcome === null ? outgoing.until : null), timeout, step }, time);
    check(file, golden, lines);
  });
}

function line(item: HistoryItem): string {
  return item.kind === 'ended' ? `${item.at} ended ${item.durationMs} ${item.most}` : `${item.at} ${item.user} ${item.kind}`;
}

for (const { file, golden } of goldens<{ readonly about: string; readonly slot: string; readonly events: readonly WireEvent[]; readonly until: number; expected: string[] }>('history')) {
  test(`golden history: ${path.basename(file)}: ${golden.about}`, () => {
    const history = new History(golden.slot);
    for (const event of golden.events) {
      if (event.redacts) history.redacted(event.redacts, event.origin_server_ts);
      else history.handle(raw(event));
    }
    check(file, golden, history.items(golden.until).map(line));
  });
}
