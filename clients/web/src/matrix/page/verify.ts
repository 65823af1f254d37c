// Verifying somebody: both see the same emojis, say so to each other, and confirm.

import { byId, create, icon } from '../../page/dom.ts';
import { announce, toast } from '../../page/notices.ts';
import { hue, initials } from '../../page/tile.ts';
import type { Membership } from '../membership.ts';
import type { RoomSession } from '../room-session.ts';
import type { Verification, VerificationStep, Verifier } from '../verification.ts';
import { verificationWords } from './words.ts';

export class Verifying {
  readonly #verifier: Verifier;
  readonly #session: RoomSession;
  readonly #dialog = byId<HTMLDialogElement>('verify');
  readonly #stop: () => void;
  #present: Verification | null = null;
  #stopPresent: () => void = () => undefined;
  #shown = '';

  constructor(verifier: Verifier, session: RoomSession) {
    this.#verifier = verifier;
    this.#session = session;
    // One at a time; who asks meanwhile is shown nothing, and asks again.
    this.#stop = verifier.onVerification((verification) => (this.#present ? verification.cancel() : this.#follow(verification)));
    this.#dialog.onclose = () => this.#end();
  }

  begin({ user, device }: Membership): void {
    if (this.#present) return;
    this.#verifier.verify(user, device).then(
      (verification) => this.#follow(verification),
      () => toast('The device of this person cannot be asked. It may have signed out.'),
    );
  }

  close(): void {
    this.#stop();
    this.#end();
  }

  #follow(verification: Verification): void {
    this.#end();
    this.#present = verification;
    this.#stopPresent = verification.onChange(() => this.#render());
    this.#render();
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  #end(): void {
    const before = this.#present;
    this.#present = null;
    this.#stopPresent();
    this.#shown = '';
    before?.cancel();
    if (this.#dialog.open) this.#dialog.close();
  }

  #render(): void {
    const verification = this.#present;
    if (!verification) return;
    const { step, user } = verification;
    const shown = JSON.stringify(step);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const name = this.#session.options.room.displayName(user);
    const { title, text } = verificationWords(step, name);
    const picture = step.is === 'done' || step.is === 'failed' ? create('div', { class: `verdict ${step.is}` }, icon(step.is === 'done' ? 'shield' : 'shield-off')) : this.#avatar(name);
    const main = step.is === 'compare' ? emojis(step.emojis) : step.is === 'preparing' || step.is === 'waiting' || step.is === 'asked' ? create('div', { class: 'spinner', 'aria-hidden': 'true' }) : '';
    byId('verify-body').replaceChildren(picture, create('h2', { id: 'verify-title' }, title), create('p', { class: 'faint' }, text), main, this.#buttons(verification, step));
    this.#dialog.dataset['step'] = step.is;
    announce(title);
  }

  #avatar(name: string): HTMLElement {
    const avatar = create('div', { class: 'avatar', 'aria-hidden': 'true' }, initials(name));
    avatar.style.setProperty('--hue', String(hue(name)));
    return avatar;
  }

  #buttons(verification: Verification, step: VerificationStep): HTMLElement {
    const row = create('div', { class: 'verify-buttons' });
    const button = (id: string, text: string, kind: string, run: () => void): void => {
      const made = create('button', { type: 'button', id, class: kind }, text);
      made.onclick = run;
      row.append(made);
    };
    const close = (): void => this.#dialog.close();
    if (step.is === 'asks') {
      button('verify-decline', 'Not now', '', close);
      button('verify-accept', 'Compare emojis', 'primary', () => verification.accept());
    } else if (step.is === 'compare') {
      button('verify-differ', 'They differ', '', () => verification.answer(false));
      button('verify-match', 'They match', 'primary', () => verification.answer(true));
    } else if (step.is === 'done' || step.is === 'failed') button('verify-close', 'Close', 'primary', close);
    else button('verify-cancel', 'Cancel', '', close);
    return row;
  }
}

function emojis(list: Extract<VerificationStep, { is: 'compare' }>['emojis']): HTMLElement {
  return create('ol', { class: 'emojis' }, ...list.map(({ emoji, name }) => create('li', {}, create('span', { class: 'emoji', 'aria-hidden': 'true' }, emoji), create('span', {}, name))));
}
