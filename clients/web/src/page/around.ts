// What stands around a call, whichever page it is on: buttons, badge, voices, speakers, the end.

import type { CallView } from '../call-view.ts';
import type { CallError } from '../errors.ts';
import { overall } from './badge.ts';
import type { Device, Devices } from './devices.ts';
import { byId, setIcon, show } from './dom.ts';
import type { Grid } from './grid.ts';
import { announce, toast } from './notices.ts';
import type { StatsPanel } from './stats-panel.ts';
import { ending } from './words.ts';

/** Wires the page to a call that is about to be joined. */
export function around(call: CallView, { grid, panel, devices }: { grid: Grid; panel: StatsPanel; devices: Devices }): void {
  buttons(call, panel, devices);
  const renderBadge = (): void => badge(call, grid);
  grid.onencryption = renderBadge;
  renderBadge();
  voices(call, grid);
  connection(call);
}

export function followDeviceChoice(devices: Devices): void {
  for (const select of document.querySelectorAll<HTMLSelectElement>('select[data-devices]')) {
    select.addEventListener('change', () => void chooseDevice(devices, select));
  }
}

function buttons(call: CallView, panel: StatsPanel, devices: Devices): void {
  const toggleStats = (shown: boolean): void => {
    panel.show(shown);
    byId('toggle-stats').setAttribute('aria-pressed', String(shown));
  };
  byId('toggle-stats').onclick = () => toggleStats(!panel.shown);
  byId('close-stats').onclick = () => {
    toggleStats(false);
    byId('toggle-stats').focus();
  };
  byId('leave').onclick = () => call.leave();
  byId('open-help').onclick = () => byId<HTMLDialogElement>('help').showModal();
  byId('open-devices').onclick = () => {
    void devices.fillSelects();
    byId<HTMLDialogElement>('devices').showModal();
  };
  const canChooseSpeaker = 'setSinkId' in HTMLMediaElement.prototype;
  byId('speaker-label').hidden = byId('speaker-select').hidden = !canChooseSpeaker;
  for (const [id, tip] of [['open-devices', 'Devices'], ['toggle-stats', 'Statistics (I)'], ['open-help', 'Help (?)'], ['leave', 'Leave']] as const) byId(id).title = tip;
}

async function chooseDevice(devices: Devices, select: HTMLSelectElement): Promise<void> {
  const kind = select.dataset['devices'];
  if (kind === 'audiooutput') return useSpeaker();
  const device: Device = kind === 'audioinput' ? 'microphone' : 'camera';
  await devices.choose(device, select.value);
}

/** Plays all sound on the chosen speaker; again for each new element. */
async function useSpeaker(): Promise<void> {
  const { value } = byId<HTMLSelectElement>('speaker-select');
  const elements = document.querySelectorAll<HTMLMediaElement & { sinkId?: string; setSinkId?: (id: string) => Promise<void> }>('audio[data-participant]');
  const moved = [...elements].filter((element) => element.sinkId !== undefined && element.sinkId !== value);
  await Promise.all(moved.map((element) => element.setSinkId?.(value))).catch(() => toast('This speaker cannot be used.'));
}

function badge(call: CallView, grid: Grid): void {
  const { state, text, detail } = overall({ encrypting: call.encrypting, tiles: grid.encryptionStates(), namesWith: (wanted) => grid.namesWith(wanted) });
  const element = byId('encryption');
  if (state === 'failed' && element.dataset['state'] !== 'failed') toast(`Cannot decrypt: ${detail}`);
  element.dataset['state'] = state;
  element.title = detail;
  element.setAttribute('aria-label', `${text}. ${detail}`);
  byId('encryption-text').textContent = text;
  setIcon(element, { ok: 'lock', pending: 'lock', off: 'unlock', failed: 'alert', 'missing-key': 'alert' }[state]);
}

function voices(call: CallView, grid: Grid): void {
  call.on('participant-joined', ({ name }) => (call.state === 'joined' ? announce(`${name} joined`) : undefined));
  call.on('participant-left', ({ participant, reason }) => {
    if (call.state === 'ended') return;
    announce(reason === 'lost' ? `${participant.name} lost the connection` : `${participant.name} left`);
  });
  call.on('track-added', ({ participant, track }) => (track.source === 'screen' ? announce(`${participant.name} shares a screen`) : undefined));
  call.on('speakers', (speakers) => grid.setSpeakers(speakers.map(({ participant }) => participant)));
  call.on('warning', ({ message }) => console.warn(message));
  const speaker = byId<HTMLSelectElement>('speaker-select');
  let chosen = false;
  speaker.addEventListener('change', () => (chosen = true));
  call.on('media', ({ track }) => void (chosen && track.kind === 'audio' ? useSpeaker() : undefined));
  byId('stage-and-grid').addEventListener('play-refused', () =>
    toast('The browser keeps the sound off until you click.', {
      label: 'Turn the sound on',
      run: () => document.querySelectorAll<HTMLMediaElement>('[data-participant]').forEach((element) => void element.play()),
    }),
  );
}

function connection(call: CallView): void {
  const line = byId('connection');
  const render = (): void => {
    const { state } = call;
    line.hidden = state === 'joined';
    line.textContent = state === 'reconnecting' ? 'Reconnecting…' : state === 'joining' ? 'Joining…' : '';
  };
  call.on('state', render);
  render();
}

export function ended(error: CallError): void {
  const { title, text } = ending(error.code);
  show('ended');
  byId('ended-title').textContent = title;
  byId('ended-text').textContent = text;
  byId('again').onclick = () => location.reload();
  byId('ended-title').focus();
}
