// Messages to the person: toasts that are seen, and announcements for screen readers.

import { byId, create, icon } from './dom.ts';

const TOAST_MS = 9000;

export function announce(text: string): void {
  const region = byId('announcer');
  // A list, so that two events of one moment are both read.
  const line = create('p', {}, text);
  region.append(line);
  setTimeout(() => line.remove(), TOAST_MS);
}

export function toast(text: string, action?: { label: string; run: () => void }): void {
  const box = byId('toasts');
  // The same trouble twice is one trouble.
  for (const shown of box.children) if ((shown as HTMLElement).dataset['text'] === text) return;
  const close = create('button', { type: 'button', class: 'quiet', 'aria-label': 'Dismiss' }, icon('close'));
  const item = create('div', { class: 'toast' }, create('p', {}, text));
  item.dataset['text'] = text;
  if (action) {
    const button = create('button', { type: 'button', class: 'text' }, action.label);
    button.addEventListener('click', () => {
      action.run();
      item.remove();
    });
    item.append(button);
  }
  item.append(close);
  close.addEventListener('click', () => item.remove());
  box.append(item);
  if (!action) setTimeout(() => item.remove(), TOAST_MS);
}
