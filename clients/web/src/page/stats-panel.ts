// The statistics panel: plots once a second, and a table of all streams.

import type { CallView } from '../call-view.ts';
import { rates, type Rates, type Reading, type StreamReading } from '../index.ts';
import { byId, create } from './dom.ts';
import { Plot, type Line } from './plot.ts';
import { signallingWord } from './words.ts';

const EVERY_MS = 1000;
const IN = '--plot-in';
const OUT = '--plot-out';

interface Chart {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
  readonly floor: number;
  readonly values: (rates: Rates) => (number | null)[];
}

const both: readonly Line[] = [
  { name: 'in', colour: IN },
  { name: 'out', colour: OUT },
];
const one: readonly Line[] = [{ name: '', colour: IN }];
const CHARTS: readonly Chart[] = [
  { title: 'Bit rate', unit: 'kbit/s', lines: both, floor: 100, values: (r) => [r.kbpsIn, r.kbpsOut] },
  { title: 'Frames', unit: 'per s', lines: both, floor: 30, values: (r) => [r.fpsIn, r.fpsOut] },
  { title: 'Packet loss', unit: '%', lines: one, floor: 5, values: (r) => [r.lossPercent] },
  { title: 'Round trip', unit: 'ms', lines: one, floor: 50, values: (r) => [r.rttMs] },
  { title: 'Jitter', unit: 'ms', lines: one, floor: 20, values: (r) => [r.jitterMs] },
];

function short(value: number | null): string {
  if (value === null) return '–';
  return value >= 100 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, '');
}

export class StatsPanel {
  readonly #call: CallView;
  readonly #panel = byId('stats');
  readonly #drawn: { chart: Chart; plot: Plot; now: HTMLElement }[] = [];
  #before: Reading | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(call: CallView) {
    this.#call = call;
    const boxes = CHARTS.map((chart) => {
      const plot = new Plot(chart.title, chart.lines, chart.floor);
      const now = create('span', { class: 'now' });
      this.#drawn.push({ chart, plot, now });
      return create('figure', { class: 'plot' }, create('figcaption', {}, chart.title, now), plot.canvas);
    });
    byId('plots').replaceChildren(...boxes);
    // Readings go on while the panel is closed, so that it opens with a history.
    this.#timer = setInterval(() => void this.#read(), EVERY_MS);
  }

  get shown(): boolean {
    return !this.#panel.hidden;
  }

  show(shown: boolean): void {
    this.#panel.hidden = !shown;
    this.#draw();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#panel.hidden = true;
  }

  async #read(): Promise<void> {
    this.#sayWay();
    const reading = await this.#call.stats().catch(() => null);
    if (!reading) return;
    const before = this.#before;
    this.#before = reading;
    if (!before) return;
    const now = rates(before, reading);
    for (const { chart, plot, now: label } of this.#drawn) {
      const values = chart.values(now);
      plot.add(values);
      const text = values.map((value, index) => `${short(value)}${chart.lines[index]?.name ? ` ${chart.lines[index].name}` : ''}`).join(' · ');
      label.textContent = `${text} ${chart.unit}`;
      plot.canvas.setAttribute('aria-label', `${chart.title}: ${text} ${chart.unit}`);
    }
    if (this.shown) {
      this.#draw();
      this.#table(before, reading);
    }
  }

  #sayWay(): void {
    const line = byId('signalling');
    const text = signallingWord(this.#call.signalling);
    line.hidden = text === '';
    if (line.textContent !== text) line.textContent = text;
  }

  #draw(): void {
    if (this.shown) for (const { plot } of this.#drawn) plot.draw();
  }

  #table(before: Reading, now: Reading): void {
    const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000);
    const rows = now.streams
      .map((stream) => ({ stream, kbps: this.#kbps(before, stream, seconds) }))
      // Slots that carry nothing would only fill the table.
      .filter(({ kbps }) => kbps > 0.1)
      .map(({ stream, kbps }) => this.#row(stream, kbps));
    byId('streams').replaceChildren(...rows);
  }

  #kbps(before: Reading, stream: StreamReading, seconds: number): number {
    const earlier = before.streams.find(({ id }) => id === stream.id);
    return earlier ? Math.max(0, ((stream.bytes - earlier.bytes) * 8) / 1000 / seconds) : 0;
  }

  #row(stream: StreamReading, kbps: number): HTMLTableRowElement {
    const name = `${stream.direction === 'in' ? '↓' : '↑'} ${stream.kind} ${stream.mid}${stream.rid ? ` ${stream.rid}` : ''}`;
    const picture = stream.width > 0 ? `${stream.width}×${stream.height}` : '';
    const row = create('tr', {}, create('th', { scope: 'row' }, name));
    for (const cell of [stream.codec, picture, short(kbps)]) row.append(create('td', {}, cell));
    return row;
  }
}
