// What a call must look like to those in it.

import assert from 'node:assert/strict';
import { pause, until } from './wait.mjs';

const SEEN_MS = 30_000;
/** Between the brightest and the darkest pixel; all fake cameras are far above, an empty picture is at 0. */
const CONTRAST_MIN = 20;
/** Shorter than the two seconds in which a person calls a picture frozen; longer than what two busy cores cause. */
export const FREEZE_MS = 2000;

const describeMedia = (media) =>
  media
    .map((m) => `${m.participant}/${m.source}/${m.kind} enc=${m.encryption} ` + (m.kind === 'video' ? `${m.width}x${m.height} decoded=${m.decoded} moves=${m.moves} contrast=${m.contrast}` : `samples=${m.samples} concealed=${m.concealed} energy=${m.energy?.toFixed(4)}`))
    .join('\n  ');

/** Whether this element shows or plays something real. */
export function plays(entry, encryption) {
  if (!entry || entry.encryption !== encryption) return false;
  if (entry.kind === 'video') return entry.decoded > 2 && entry.moves > 0 && entry.width > 0 && entry.contrast >= CONTRAST_MIN;
  // More than a quarter of a second of sound that was received and not made up.
  return entry.samples - entry.concealed > 12_000 && entry.energy > 0;
}

/**
 * `viewer` sees and hears each of `others` (camera and microphone; `sources` for something else), each tile says
 * `encryption`, and there is nobody else on the page.
 */
export async function sees(viewer, others, { encryption = 'ok', sources = ['camera/video', 'microphone/audio'], alone = true, deadlineMs = SEEN_MS } = {}) {
  let last = [];
  await until(
    `${viewer.name} sees and hears ${others.map(({ name }) => name).join(', ')} (${encryption})`,
    async () => {
      last = await viewer.media();
      const find = (name, source) => last.find((m) => m.participant === name && `${m.source}/${m.kind}` === source);
      if (alone && new Set(last.map((m) => m.participant)).size !== others.length) return false;
      return others.every(({ name }) => sources.every((source) => plays(find(name, source), encryption)));
    },
    { deadlineMs, pollMs: 250, describe: () => `\n  ${describeMedia(last)}\n  ${viewer.console.slice(-6).join('\n  ')}` },
  );
  return last;
}

/** Everybody sees and hears everybody else. */
export async function allSeeAll(participants, options) {
  await Promise.all(participants.map((viewer) => sees(viewer, participants.filter((other) => other !== viewer), options)));
}

/**
 * Watches for `ms` (or until `during` is done) that nothing stands still: each viewer's camera and microphone of each
 * other participant grows, with no pause of `freezeMs`. `except`: tracks (`viewer>name`) that are expected to pause.
 * `blindness`: time in which the page itself did not get to look is taken off; for pauses that are not much longer than that.
 */
export async function flowing(participants, { ms = 0, during = null, freezeMs = FREEZE_MS, except = [], blindness = false, sources = ['camera/video', 'microphone/audio'] } = {}) {
  await Promise.all(participants.map((participant) => participant.watch()));
  await Promise.all([pause(ms), during?.()]);
  const problems = [];
  let worst = 0;
  for (const viewer of participants) {
    const { tracks, longestGapMs } = await viewer.watched();
    for (const other of participants) {
      if (other === viewer || except.includes(`${viewer.name}>${other.name}`)) continue;
      for (const source of sources) {
        const track = tracks[`${other.name}/${source}`];
        if (track && blindness) track.longestMs = Math.max(0, track.longestMs - longestGapMs);
        if (!track) problems.push(`${viewer.name} has no ${source} of ${other.name}`);
        else if (track.grown <= 0 || track.longestMs >= freezeMs) {
          problems.push(`${viewer.name}: ${source} of ${other.name} stood still for ${track.longestMs} ms, grew by ${track.grown}${track.paused ? ', was paused for want of bandwidth' : ''} (page blind for ${longestGapMs} ms)`);
        } else worst = Math.max(worst, track.longestMs);
      }
    }
  }
  assert.deepEqual(problems, []);
  return { worstMs: worst };
}
