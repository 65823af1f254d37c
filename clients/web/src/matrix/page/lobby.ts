// Before joining: the lobby of the plain page, with who is in the call instead of a name and a secret.

import { byId, create, show } from '../../page/dom.ts';
import type { Devices } from '../../page/devices.ts';
import { meter, preview } from '../../page/lobby.ts';
import type { RoomSession } from '../room-session.ts';
import { incoming } from './ring.ts';
import { joinedNames } from './words.ts';

/** Resolves when the person joins, or accepts what rings. */
export function matrixLobby(session: RoomSession, devices: Devices): Promise<void> {
  const { room } = session.options;
  show('lobby');
  byId('lobby-room').textContent = room.name;
  byId('name').hidden = true;
  byId<HTMLInputElement>('name').required = false;
  for (const label of document.querySelectorAll<HTMLElement>('label[for="name"]')) label.hidden = true;
  byId('lobby-encryption-text').textContent = 'End-to-end encrypted. Each device makes its own keys and gives them to the devices in the call, and to nobody else.';
  const stopPreview = preview(devices);
  const stopMeter = meter(devices);
  void devices.openBoth();
  const dot = create('span', { class: 'dot', 'aria-hidden': 'true' });
  const text = create('span', {});
  const line = create('p', { class: 'lobby-members', role: 'status' }, dot, text);
  document.querySelector('.lobby-members')?.remove();
  byId('join').before(line);
  const render = (): void => {
    const names = [...new Set(session.members.map(({ user }) => room.displayName(user)))];
    line.classList.toggle('live', names.length > 0);
    text.textContent = joinedNames(names);
  };
  const stopMembers = session.on('changed', render);
  render();
  byId('join').focus();
  return new Promise((resolve) => {
    const stopRing = incoming(session, done);
    const form = byId('join-form');
    form.addEventListener('submit', submitted);
    function submitted(event: Event): void {
      event.preventDefault();
      done();
    }
    function done(): void {
      form.removeEventListener('submit', submitted);
      stopPreview();
      stopMeter();
      stopMembers();
      stopRing();
      resolve();
    }
  });
}
