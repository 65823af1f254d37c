// Numbers for the statistics panel: totals read from `getStats()`, and rates between two readings.

import type { Kind } from './wire.ts';

export interface Reading {
  readonly atMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly framesIn: number;
  readonly framesOut: number;
  readonly packetsIn: number;
  readonly packetsLost: number;
  /** Of the pair in use; `null` before there is one. */
  readonly rttMs: number | null;
  /** The worst of the received streams. */
  readonly jitterMs: number;
  readonly streams: readonly StreamReading[];
}

export interface StreamReading {
  readonly id: string;
  readonly direction: 'in' | 'out';
  readonly kind: Kind;
  readonly mid: string;
  readonly rid: string | null;
  readonly codec: string;
  readonly bytes: number;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly packetsLost: number;
  readonly limitation: string | null;
}

export interface Rates {
  readonly kbpsIn: number;
  readonly kbpsOut: number;
  /** Frames per second, all received videos together. */
  readonly fpsIn: number;
  readonly fpsOut: number;
  readonly lossPercent: number;
  readonly rttMs: number | null;
  readonly jitterMs: number;
}

type Entry = Record<string, unknown>;

function number(entry: Entry, name: string): number {
  const value = entry[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function text(entry: Entry | undefined, name: string): string | null {
  const value = entry?.[name];
  return typeof value === 'string' ? value : null;
}

export function read(report: Iterable<readonly [string, unknown]>, atMs: number): Reading {
  const entries = new Map<string, Entry>();
  for (const [id, entry] of report) entries.set(id, entry as Entry);
  const total = { bytesIn: 0, bytesOut: 0, framesIn: 0, framesOut: 0, packetsIn: 0, packetsLost: 0 };
  const streams: StreamReading[] = [];
  let rttMs: number | null = null;
  let jitterMs = 0;
  for (const [id, entry] of entries) {
    if (entry['type'] === 'candidate-pair' && (entry['nominated'] === true || entry['selected'] === true) && entry['state'] === 'succeeded') {
      rttMs = number(entry, 'currentRoundTripTime') * 1000;
    }
    const inbound = entry['type'] === 'inbound-rtp';
    if (!inbound && entry['type'] !== 'outbound-rtp') continue;
    const kind: Kind = entry['kind'] === 'audio' ? 'audio' : 'video';
    const bytes = number(entry, inbound ? 'bytesReceived' : 'bytesSent');
    const frames = kind === 'video' ? number(entry, inbound ? 'framesDecoded' : 'framesEncoded') : 0;
    const packetsLost = inbound ? number(entry, 'packetsLost') : 0;
    if (inbound) {
      total.bytesIn += bytes;
      total.framesIn += frames;
      total.packetsIn += number(entry, 'packetsReceived');
      total.packetsLost += packetsLost;
      jitterMs = Math.max(jitterMs, number(entry, 'jitter') * 1000);
    } else {
      total.bytesOut += bytes;
      total.framesOut += frames;
    }
    const codec = text(entries.get(text(entry, 'codecId') ?? ''), 'mimeType') ?? '';
    streams.push({
      id,
      direction: inbound ? 'in' : 'out',
      kind,
      mid: text(entry, 'mid') ?? '',
      rid: text(entry, 'rid'),
      codec: codec.slice(codec.indexOf('/') + 1),
      bytes,
      frames,
      width: number(entry, 'frameWidth'),
      height: number(entry, 'frameHeight'),
      packetsLost,
      limitation: text(entry, 'qualityLimitationReason'),
    });
  }
  return { atMs, ...total, rttMs, jitterMs, streams };
}

/** Streams come and go, so that a total may fall; a rate is never below zero. */
export function rates(before: Reading, after: Reading): Rates {
  const seconds = Math.max(0.001, (after.atMs - before.atMs) / 1000);
  const per = (from: number, to: number): number => Math.max(0, to - from) / seconds;
  const lost = Math.max(0, after.packetsLost - before.packetsLost);
  const received = Math.max(0, after.packetsIn - before.packetsIn);
  return {
    kbpsIn: (per(before.bytesIn, after.bytesIn) * 8) / 1000,
    kbpsOut: (per(before.bytesOut, after.bytesOut) * 8) / 1000,
    fpsIn: per(before.framesIn, after.framesIn),
    fpsOut: per(before.framesOut, after.framesOut),
    lossPercent: lost + received === 0 ? 0 : (lost / (lost + received)) * 100,
    rttMs: after.rttMs,
    jitterMs: after.jitterMs,
  };
}
