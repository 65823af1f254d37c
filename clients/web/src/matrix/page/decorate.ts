// What Matrix knows about the people on the tiles: whether they are verified, how they are reached, hands and reactions.

import { create, icon } from '../../page/dom.ts';
import type { Grid } from '../../page/grid.ts';
import type { Trust } from '../homeserver.ts';
import { keyOf, type Membership } from '../membership.ts';
import type { MatrixCall } from '../matrix-call.ts';
import { REACTION_MS, type Reaction } from '../reactions.ts';
import type { RoomSession } from '../room-session.ts';
import { shield } from './shield.ts';

/** `verify`: asks the owner of a device that is not verified. */
export function decorate(grid: Grid, call: MatrixCall, session: RoomSession, verify: (member: Membership) => void): void {
  const render = (): void => {
    const { homeserver } = session.options;
    for (const member of session.members) {
      const isOwn = member.user === homeserver.user && member.device === homeserver.device;
      const tile = isOwn ? grid.self : grid.tileOf(keyOf(member))?.root;
      if (tile) setHand(tile, session.reactions.hand(member) !== null);
    }
    for (const id of call.participants.keys()) {
      const tile = grid.tileOf(id)?.root;
      if (!tile) continue;
      const member = call.memberOf(id);
      const reach = call.reachOf(id);
      tile.classList.toggle('stranger', member === null);
      tile.classList.toggle('unreachable', reach?.by === 'nothing');
      tile.classList.toggle('waiting', call.participants.get(id)?.tracks.size === 0);
      setWay(tile, member === null ? 'Unknown: no member of this call' : reach?.by === 'nothing' ? reach.why : '');
      setTrust(tile, member && session.trustOf(member), () => (member ? verify(member) : undefined));
    }
  };
  session.on('changed', render);
  session.on('reaction', (reaction) => react(grid, session, reaction));
  for (const event of ['reach', 'participant-joined', 'track-added', 'track-removed'] as const) call.on(event, render);
  render();
}

function setHand(tile: HTMLElement, up: boolean): void {
  const shown = tile.querySelector('.hand');
  if (up && !shown) tile.append(create('span', { class: 'hand', role: 'img', 'aria-label': 'has raised a hand', title: 'Hand raised' }, icon('hand')));
  if (!up) shown?.remove();
}

function setWay(tile: HTMLElement, text: string): void {
  const shown = tile.querySelector<HTMLElement>('.way');
  if (text === '') return void shown?.remove();
  if (shown?.title === text) return;
  shown?.remove();
  tile.append(create('p', { class: 'way', title: text }, icon('unreachable'), create('span', {}, text)));
}

function setTrust(tile: HTMLElement, trust: Trust | null, verify: () => void): void {
  const badge = tile.querySelector<HTMLElement>('.trust');
  if (trust !== null && badge?.dataset['trust'] === trust) return;
  badge?.remove();
  if (trust !== null) tile.querySelector('.label')?.append(shield(trust, verify));
}

function react(grid: Grid, session: RoomSession, { member, emoji }: Reaction): void {
  const { homeserver } = session.options;
  const isOwn = member.user === homeserver.user && member.device === homeserver.device;
  const tile = isOwn ? grid.self : grid.tileOf(keyOf(member))?.root;
  if (!tile) return;
  // One at a time: the newest is what the person wants to say now.
  tile.querySelector('.reaction')?.remove();
  const shown = create('span', { class: 'reaction', role: 'img', 'aria-label': `reacts with ${emoji}` }, emoji);
  tile.append(shown);
  setTimeout(() => shown.remove(), REACTION_MS);
}
