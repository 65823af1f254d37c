// The buttons for the raised hand and for reactions.

import { byId, create } from '../../page/dom.ts';
import { announce, toast } from '../../page/notices.ts';
import type { MatrixCall } from '../matrix-call.ts';
import type { RoomSession } from '../room-session.ts';

const EMOJIS: readonly (readonly [emoji: string, name: string])[] = [
  ['👍', 'thumbsup'],
  ['🎉', 'party'],
  ['👏', 'clapping'],
  ['😂', 'laughing'],
  ['❤️', 'heart'],
  ['🤔', 'thinking'],
];

export function gestures(call: MatrixCall, session: RoomSession): void {
  const hand = byId('toggle-hand');
  const { homeserver } = session.options;
  const isUp = (): boolean => session.members.some((member) => member.user === homeserver.user && member.device === homeserver.device && session.reactions.hand(member) !== null);
  const render = (): void => {
    hand.setAttribute('aria-pressed', String(isUp()));
    hand.title = isUp() ? 'Lower your hand' : 'Raise your hand';
  };
  hand.onclick = () => {
    const up = !isUp();
    call.setHand(up).then(() => announce(up ? 'Hand raised' : 'Hand lowered'), () => toast('The homeserver did not take it. Try again.'));
  };
  session.on('changed', render);
  render();

  const box = byId('reactions');
  const open = byId('open-reactions');
  open.title = 'React';
  const show = (shown: boolean): void => {
    box.hidden = !shown;
    open.setAttribute('aria-expanded', String(shown));
  };
  box.replaceChildren(
    ...EMOJIS.map(([emoji, name]) => {
      const button = create('button', { type: 'button', 'aria-label': name }, emoji);
      button.onclick = () => {
        show(false);
        open.focus();
        call.react(emoji, name).catch(() => toast('The homeserver did not take it. Try again.'));
      };
      return button;
    }),
  );
  open.onclick = () => show(Boolean(box.hidden));
  document.addEventListener('click', (event) => (event.target instanceof Element && event.target.closest('.reactions-anchor') ? undefined : show(false)));
  document.addEventListener('keydown', ({ key }) => (key === 'Escape' ? show(false) : undefined));
}
