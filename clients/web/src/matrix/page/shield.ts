// The shield of a device: how far it is known to be whose it says. One that is not verified can be pressed, to verify it.

import { create, icon } from '../../page/dom.ts';
import type { Trust } from '../homeserver.ts';
import { TRUST, VERIFY } from './words.ts';

export function shield(trust: Trust, verify: () => void): HTMLElement {
  const { icon: name, text } = TRUST[trust];
  const common = { class: 'trust', 'data-trust': trust };
  // Of a device that the homeserver does not know there is nothing to verify.
  if (trust === 'verified' || trust === 'unknown') return create('span', { ...common, role: 'img', 'aria-label': text, title: text }, icon(name));
  const label = `${text}. ${VERIFY}`;
  const button = create('button', { ...common, type: 'button', 'aria-label': label, title: label }, icon(name));
  button.onclick = (event) => {
    // Not the tile's own click.
    event.stopPropagation();
    verify();
  };
  return button;
}
