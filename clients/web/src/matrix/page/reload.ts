// A reload in the middle of a call: what is kept for it, and that the page which goes does not clear it.

import type { MatrixCall } from '../matrix-call.ts';
import { Memory } from '../remembered.ts';

/** A page that dies does not say so. */
const TOUCH_MS = 10_000;

export const memory = new Memory(sessionStorage, () => Date.now());

let isGoing = false;
// Before the call hears of it, which ends with the page.
addEventListener('pagehide', () => (isGoing = true), { capture: true });
// One that the browser kept and shows again is as good as loaded anew.
addEventListener('pageshow', ({ persisted }) => (persisted ? location.reload() : undefined));

/** The call ends because the page does, and not because somebody wants it to. */
export function isPageGoing(): boolean {
  return isGoing;
}

/** Keeps up what a reload comes back to. Returns what ends that. */
export function remember(call: MatrixCall): () => void {
  const isOn = (source: 'microphone' | 'camera'): boolean => call.publication(source)?.muted === false;
  const note = (): void => memory.update({ microphone: isOn('microphone'), camera: isOn('camera') });
  const timer = setInterval(note, TOUCH_MS);
  addEventListener('pagehide', note, { capture: true });
  note();
  return () => {
    clearInterval(timer);
    removeEventListener('pagehide', note, { capture: true });
  };
}
