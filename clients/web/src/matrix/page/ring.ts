// Somebody calls: who, and two buttons. And what has become of our own ringing.

import { byId } from '../../page/dom.ts';
import { announce } from '../../page/notices.ts';
import { hue, initials } from '../../page/tile.ts';
import type { MatrixCall } from '../matrix-call.ts';
import type { RoomSession } from '../room-session.ts';
import { outgoingWord } from './words.ts';

/** Until the person is in the call. Returns what stops it. */
export function incoming(session: RoomSession, accept: () => void): () => void {
  const box = byId('ring');
  const { room } = session.options;
  let shown: string | null = null;
  const render = (): void => {
    const { ring } = session;
    box.hidden = ring === null;
    if (!ring || ring.eventId === shown) return;
    shown = ring.eventId;
    const name = room.displayName(ring.caller);
    byId('ring-title').textContent = name;
    byId('ring-detail').textContent = `${ring.intent === 'audio' ? 'Voice call' : 'Video call'} in ${room.name}`;
    byId('ring-avatar').textContent = initials(name);
    byId('ring-avatar').style.setProperty('--hue', String(hue(name)));
    announce(`${name} calls`);
  };
  byId('ring-accept').onclick = () => accept();
  byId('ring-decline').onclick = () => void session.decline().catch(() => undefined);
  const stop = session.on('changed', render);
  render();
  return () => {
    stop();
    box.hidden = true;
  };
}

export function outgoing(session: RoomSession, call: MatrixCall): () => void {
  const line = byId('outgoing');
  const render = (): void => {
    const text = call.others().length > 0 ? '' : outgoingWord(session.outgoing);
    line.hidden = text === '';
    if (line.textContent !== text) line.textContent = text;
  };
  const stop = session.on('changed', render);
  render();
  return () => {
    stop();
    line.hidden = true;
  };
}
