// The call page, put together: landing, lobby, call, end.

import { Call, CallError, devToken, newSecret } from '../index.ts';
import { overall } from './badge.ts';
import { Controls, shortcuts } from './controls.ts';
import { Devices, type Device } from './devices.ts';
import { byId, setIcon, show } from './dom.ts';
import { Grid } from './grid.ts';
import { lobby, rememberedName, type Ready } from './lobby.ts';
import { announce, toast } from './notices.ts';
import { parseRoute, type Route } from './route.ts';
import { StatsPanel } from './stats-panel.ts';
import { ending } from './words.ts';

declare global {
  interface Window {
    /** For scripting and tests. */
    sfuCall?: Call;
  }
}

/** Set by the bundler: the worker's file has its hash in the name. */
declare const WORKER_FILE: string;

/** Without a click nobody should wait for a person who does not see the browser's question. */
const DEVICES_MS = 6000;

function landing(): void {
  show('landing');
  byId('landing-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const name = byId<HTMLInputElement>('landing-room').value.trim();
    location.href = `/call/${encodeURIComponent(name || newSecret().slice(0, 10))}#${newSecret()}`;
  });
}

async function start(): Promise<void> {
  const route = parseRoute(location.href);
  // Only the fragment changed: the page would not load by itself, and the call would keep the old secret.
  addEventListener('hashchange', () => location.reload());
  if (route.room === null) return landing();
  document.title = `${route.room} – call`;
  byId('room').textContent = route.room;
  shortcuts();
  const devices = new Devices(route.video);
  for (const select of document.querySelectorAll<HTMLSelectElement>('select[data-devices]')) {
    select.addEventListener('change', () => void chooseDevice(devices, select));
  }
  if (!route.autojoin) return join(route, devices, await lobby(route, devices));
  devices.on('problem', (text) => toast(text));
  await Promise.race([devices.openBoth(), new Promise((resolve) => setTimeout(resolve, DEVICES_MS))]);
  return join(route, devices, { name: route.name ?? (rememberedName() || 'Guest'), secret: route.secret });
}

async function join(route: Route, devices: Devices, { name, secret }: Ready): Promise<void> {
  if (!route.autojoin) devices.on('problem', (text) => toast(text));
  const room = route.room ?? '';
  const call = new Call({
    token: () => devToken(room, name),
    secret,
    worker: () => new Worker(WORKER_FILE),
    codec: route.codec,
    simulcast: route.simulcast,
  });
  window.sfuCall = call;
  show('call');
  const grid = new Grid(call, name);
  const panel = new StatsPanel(call);
  const controls = new Controls(call, devices);
  const stopDevices = controls.publishDevices();
  grid.setSelf(devices.track('camera'));
  const stopSelf = devices.on('changed', ({ device, track }) => (device === 'camera' ? grid.setSelf(track) : undefined));
  buttons(call, panel, devices);
  const renderBadge = (): void => badge(call, grid);
  grid.onencryption = renderBadge;
  renderBadge();
  voices(call, grid);
  connection(call);
  // Closing the window is leaving; else the others would look at a still picture until the session runs out.
  addEventListener('pagehide', () => call.leave());
  call.on('ended', ({ error }) => {
    panel.close();
    stopDevices();
    stopSelf();
    controls.close();
    ended(error);
  });
  // `ended` tells why, so that the rejection has nothing to add.
  await call.join().catch((error: unknown) => (call.state === 'idle' ? ended(error as CallError) : undefined));
}

function buttons(call: Call, panel: StatsPanel, devices: Devices): void {
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
  byId('copy-link').onclick = () => void copyLink();
  const canChooseSpeaker = 'setSinkId' in HTMLMediaElement.prototype;
  byId('speaker-label').hidden = byId('speaker-select').hidden = !canChooseSpeaker;
  for (const [id, tip] of [['open-devices', 'Devices'], ['toggle-stats', 'Statistics (I)'], ['open-help', 'Help (?)'], ['leave', 'Leave']] as const) byId(id).title = tip;
}

async function copyLink(): Promise<void> {
  const link = new URL(location.href);
  // The name in the link is ours, not that of whom it is sent to.
  link.search = '';
  try {
    await navigator.clipboard.writeText(link.href);
    toast(link.hash ? 'The link is copied, with its secret. Send it only to people you trust.' : 'The link is copied.');
  } catch {
    toast('The link could not be copied. Copy it from the address bar.');
  }
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

function badge(call: Call, grid: Grid): void {
  const { state, text, detail } = overall({ encrypting: call.encrypting, tiles: grid.encryptionStates(), namesWith: (wanted) => grid.namesWith(wanted) });
  const element = byId('encryption');
  if (state === 'failed' && element.dataset['state'] !== 'failed') toast(`Cannot decrypt: ${detail}`);
  element.dataset['state'] = state;
  element.title = detail;
  element.setAttribute('aria-label', `${text}. ${detail}`);
  byId('encryption-text').textContent = text;
  setIcon(element, { ok: 'lock', pending: 'lock', off: 'unlock', failed: 'alert', 'missing-key': 'alert' }[state]);
}

function voices(call: Call, grid: Grid): void {
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

function connection(call: Call): void {
  const line = byId('connection');
  const render = (): void => {
    const { state } = call;
    line.hidden = state === 'joined';
    line.textContent = state === 'reconnecting' ? 'Reconnecting…' : state === 'joining' ? 'Joining…' : '';
  };
  call.on('state', render);
  render();
}

function ended(error: CallError): void {
  const { title, text } = ending(error.code);
  show('ended');
  byId('ended-title').textContent = title;
  byId('ended-text').textContent = text;
  byId('again').onclick = () => location.reload();
  byId('ended-title').focus();
}

void start();
