// The list of people in the call, with what is known of each, and the lines of the call's history.

import { byId, create, icon } from '../../page/dom.ts';
import { hue, initials } from '../../page/tile.ts';
import { keyOf, type Membership } from '../membership.ts';
import type { MatrixCall } from '../matrix-call.ts';
import type { RoomSession } from '../room-session.ts';
import { shield } from './shield.ts';
import { historyText, wayWord } from './words.ts';

const LINES_SHOWN = 30;

export class People {
  readonly #session: RoomSession;
  readonly #call: MatrixCall;
  readonly #verify: (member: Membership) => void;
  readonly #panel = byId('people');
  readonly #button = byId('toggle-people');

  /** `verify`: asks the owner of a device that is not verified. */
  constructor(session: RoomSession, call: MatrixCall, verify: (member: Membership) => void) {
    this.#verify = verify;
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
    const { history, options } = this.#session;
    const items = history.items(options.wallClock()).slice(-LINES_SHOWN).reverse();
    byId('history').replaceChildren(
      ...items.map((item) => {
        const time = new Date(item.at);
        const clock = create('time', { datetime: time.toISOString() }, time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
        return create('li', { class: item.kind }, clock, create('span', {}, historyText(item, (user) => this.#name(user))));
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
    const second = reach?.by === 'nothing' ? create('small', { class: 'bad' }, reach.why) : create('small', { title: `${member.user}${wayWord(reach)}` }, `${member.user}${wayWord(reach)}`);
    const marks = create('span', { class: 'marks' });
    if (this.#session.reactions.hand(member) !== null) marks.append(mark('hand', 'Hand raised'));
    if (reach?.by === 'nothing') marks.append(mark('unreachable', 'Cannot be reached from here'));
    if (!isOwn) marks.append(shield(this.#session.trustOf(member), () => this.#verify(member)));
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
