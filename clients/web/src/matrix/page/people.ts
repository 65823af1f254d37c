// The list of people in the call, with what is known of each, and the lines of the call's history.

import { byId, create, icon } from '../../page/dom.ts';
import { hue, initials } from '../../page/tile.ts';
import { keyOf, type Membership } from '../membership.ts';
import type { MatrixCall } from '../matrix-call.ts';
import type { RoomSession } from '../room-session.ts';
import { historyWord, TRUST } from './words.ts';

const LINES_SHOWN = 30;

export class People {
  readonly #session: RoomSession;
  readonly #call: MatrixCall;
  readonly #panel = byId('people');
  readonly #button = byId('toggle-people');

  constructor(session: RoomSession, call: MatrixCall) {
    this.#session = session;
    this.#call = call;
    this.#button.title = 'People';
    this.#button.onclick = () => this.#show(Boolean(this.#panel.hidden));
    byId('close-people').onclick = () => {
      this.#show(false);
      this.#button.focus();
    };
    session.on('changed', () => this.render());
    call.on('reach', () => this.render());
    this.render();
  }

  render(): void {
    const { members } = this.#session;
    const count = byId('people-count');
    count.hidden = members.length === 0;
    count.textContent = String(members.length);
    if (this.#panel.hidden) return;
    byId('people-list').replaceChildren(...members.map((member) => this.#row(member)));
    const lines = this.#session.history.lines.slice(-LINES_SHOWN).reverse();
    byId('history').replaceChildren(
      ...lines.map((line) => {
        const time = new Date(line.at);
        const clock = create('time', { datetime: time.toISOString() }, time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
        return create('li', { class: line.kind }, clock, create('span', {}, `${this.#name(line.user)} ${historyWord(line)}`));
      }),
    );
  }

  #row(member: Membership): HTMLLIElement {
    const { homeserver } = this.#session.options;
    const isOwn = member.user === homeserver.user && member.device === homeserver.device;
    const name = this.#name(member.user);
    const avatar = create('div', { class: 'avatar', 'aria-hidden': 'true' }, initials(name));
    avatar.style.setProperty('--hue', String(hue(name)));
    const reach = isOwn ? null : this.#call.reachOf(keyOf(member));
    const second = reach?.by === 'nothing' ? create('small', { class: 'bad' }, reach.why) : create('small', {}, reach?.by === 'mesh' ? `${member.user}, directly` : member.user);
    const marks = create('span', { class: 'marks' });
    if (this.#session.reactions.hand(member) !== null) marks.append(mark('hand', 'Hand raised'));
    if (reach?.by === 'nothing') marks.append(mark('unreachable', 'Cannot be reached from here'));
    if (!isOwn) {
      const { icon: shield, text } = TRUST[this.#session.trustOf(member)];
      const badge = mark(shield, text);
      badge.dataset['trust'] = this.#session.trustOf(member);
      marks.append(badge);
    }
    return create('li', { 'data-member': member.user }, avatar, create('span', { class: 'who' }, create('span', {}, isOwn ? `${name} (you)` : name), second), marks);
  }

  #name(user: string): string {
    return this.#session.options.room.displayName(user);
  }

  #show(shown: boolean): void {
    this.#panel.hidden = !shown;
    this.#button.setAttribute('aria-pressed', String(shown));
    this.render();
  }
}

function mark(name: string, text: string): HTMLElement {
  return create('span', { role: 'img', 'aria-label': text, title: text }, icon(name));
}
