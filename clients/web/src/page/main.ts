// The call page, put together: landing, lobby, call, end.

import { Call, devToken, newSecret, type CallError } from '../index.ts';
import { around, ended, followDeviceChoice } from './around.ts';
import { Controls, shortcuts } from './controls.ts';
import { Devices } from './devices.ts';
import { byId, show } from './dom.ts';
import { Grid } from './grid.ts';
import { lobby, rememberedName, type Ready } from './lobby.ts';
import { toast } from './notices.ts';
import { parseRoute, type Route } from './route.ts';
import { StatsPanel } from './stats-panel.ts';

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
  followDeviceChoice(devices);
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
  around(call, { grid, panel, devices });
  byId('copy-link').onclick = () => void copyLink();
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

void start();
