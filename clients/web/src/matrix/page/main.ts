// The call page in Matrix mode: sign in, lobby, call, end.

import { MatrixCall } from '../matrix-call.ts';
import { discover, fetchWellKnown } from '../discovery.ts';
import type { Room } from '../homeserver.ts';
import { parseMatrixRoute, type Login, type MatrixRoute } from '../login.ts';
import { formatAt } from '../member-format.ts';
import { DEFAULT_SLOT } from '../membership.ts';
import { RoomSession } from '../room-session.ts';
import { Sdk } from '../sdk.ts';
import { realClock } from '../../clock.ts';
import type { VideoCodec } from '../../encodings.ts';
import { around, ended, followDeviceChoice } from '../../page/around.ts';
import { Controls, shortcuts } from '../../page/controls.ts';
import { Devices } from '../../page/devices.ts';
import { byId, show } from '../../page/dom.ts';
import { Grid } from '../../page/grid.ts';
import { toast } from '../../page/notices.ts';
import { parseRoute } from '../../page/route.ts';
import { StatsPanel } from '../../page/stats-panel.ts';
import { useKeySource } from '../../page/words.ts';
import type { Remembered } from '../remembered.ts';
import { decorate } from './decorate.ts';
import { gestures } from './gestures.ts';
import { matrixLobby } from './lobby.ts';
import { holdDevice } from './one-tab.ts';
import { People } from './people.ts';
import { isPageGoing, memory, remember } from './reload.ts';
import { outgoing } from './ring.ts';
import { Verifying } from './verify.ts';
import { matrixProblem } from './words.ts';

declare global {
  interface Window {
    /** For scripting and tests. */
    sfuMatrixCall?: MatrixCall;
  }
}

/** Set by the bundler. */
declare const WORKER_FILE: string;
declare const WASM_FILE: string;

/** Without a click nobody should wait for a person who does not see the browser's question. */
const DEVICES_MS = 6000;

/** How somebody comes to the page. */
interface Arrival {
  readonly route: MatrixRoute;
  readonly media: Media;
  /** The call that a reload ended. */
  readonly before: Remembered | null;
}

/** Media options stand in the query, as on the plain page. */
interface Media {
  readonly codec: VideoCodec;
  readonly simulcast: boolean;
  readonly devices: Devices;
}

async function start(): Promise<void> {
  const route = parseMatrixRoute(location.hash);
  const { codec, simulcast, video } = parseRoute(location.href);
  // It holds a login: not for the history, not for whoever looks over the shoulder.
  history.replaceState(null, '', location.pathname + location.search);
  addEventListener('hashchange', () => location.reload());
  useKeySource('members');
  shortcuts();
  byId('copy-link').hidden = true;
  byId('key-help').textContent = 'Each device makes its own keys and gives them to the devices in the call, and to nobody else. The shield says how far a device is known to be whose it says; press it to verify somebody.';
  const devices = new Devices(video);
  followDeviceChoice(devices);
  const media: Media = { codec, simulcast, devices };
  const before = memory.take();
  if (route.login && route.room !== null) await enter(route.login, route.room, { route, media, before: null });
  else if (before && !route.login && (await holdDevice(before.user, before.device))) await comeBack(before, { route, media, before });
  else askLogin({ route, media, before: null });
}

/** The page was reloaded in a call: into it again, on the same device. */
async function comeBack(before: Remembered, arrival: Arrival): Promise<void> {
  const { room, mesh, delegate, format, profile } = before;
  await enter({ ...before, password: null, crossSign: false }, room, { ...arrival, route: { ...arrival.route, room, join: true, mesh, delegate, format, profile } });
}

function askLogin(arrival: Arrival, problem = ''): void {
  const { route } = arrival;
  show('matrix-login');
  const field = (id: string): HTMLInputElement => byId<HTMLInputElement>(`matrix-${id}`);
  field('homeserver').value ||= route.login?.homeserver ?? '';
  field('user').value ||= route.login?.user ?? '';
  field('room').value ||= route.room ?? '';
  const text = byId('matrix-login-problem');
  text.textContent = problem;
  text.hidden = problem === '';
  byId('matrix-login-form').onsubmit = (event) => {
    event.preventDefault();
    const words = new URLSearchParams({ homeserver: field('homeserver').value, user: field('user').value, password: field('password').value, room: field('room').value });
    field('password').value = '';
    const typed = parseMatrixRoute(words.toString());
    if (typed.login && typed.room !== null) void enter(typed.login, typed.room, { ...arrival, before: null, route: { ...route, room: typed.room } });
  };
}

async function enter(login: Login, roomName: string, arrival: Arrival): Promise<void> {
  show('matrix-wait');
  try {
    const sdk = await Sdk.start(login, WASM_FILE);
    if (!arrival.before) void holdDevice(sdk.user, sdk.device);
    byId('matrix-wait-text').textContent = 'Looking into the room…';
    const room = await sdk.room(roomName);
    document.title = `${room.name} – call`;
    await visit({ ...arrival, sdk, room }, arrival.route.join);
  } catch (error) {
    console.warn('could not enter', error);
    askLogin({ ...arrival, before: null }, matrixProblem(error));
  }
}

/** All that outlives a call. */
interface Visit extends Arrival {
  readonly sdk: Sdk;
  readonly room: Room;
}

async function visit(visitor: Visit, joinAtOnce: boolean): Promise<void> {
  const { sdk, room, route, media, before } = visitor;
  const { homeserver } = sdk.credentials;
  const transports = await discover({ homeserver: sdk, wellKnown: () => fetchWellKnown([`https://${sdk.serverName}`, homeserver]), configured: [] });
  const session = new RoomSession({ homeserver: sdk, room, slot: DEFAULT_SLOT, clock: realClock, wallClock: () => Date.now(), trust: (user, device) => sdk.trust(user, device), onTrust: (listener) => sdk.onTrust(listener) });
  if (before) await Promise.race([media.devices.openThese(before), timeout()]);
  else if (joinAtOnce) await Promise.race([media.devices.openBoth(), timeout()]);
  else await matrixLobby(session, media.devices);
  const { codec, simulcast } = media;
  const { mesh, delegate, profile } = route;
  const format = await formatAt(sdk, route.format);
  if (format !== route.format) toast('Your homeserver has no sticky events (MSC4354): you join by room state, as everybody can read.');
  memory.keep({ ...sdk.credentials, room: room.id, mesh, delegate, format: route.format, profile, microphone: true, camera: true, delayId: before?.delayId ?? null });
  const call = new MatrixCall({
    session,
    transports,
    worker: () => new Worker(WORKER_FILE),
    codec,
    simulcast,
    mesh,
    delegate,
    intent: 'video',
    format,
    profile,
    willChanged: (delayId) => (delayId === null ? undefined : memory.update({ delayId })),
    formerWill: before?.delayId ?? null,
  });
  inCall(call, session, visitor);
}

const timeout = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, DEVICES_MS));

function inCall(call: MatrixCall, session: RoomSession, visitor: Visit): void {
  const { sdk, media: { devices } } = visitor;
  const { room, homeserver } = session.options;
  window.sfuMatrixCall = call;
  show('call');
  byId('room').textContent = room.name;
  byId('alone').textContent = 'Nobody else is in the call yet.';
  const grid = new Grid(call, room.displayName(homeserver.user), ({ id, name }) => call.memberOf(id)?.user ?? name);
  const panel = new StatsPanel(call);
  const controls = new Controls(call, devices);
  const stops = [controls.publishDevices(), outgoing(session, call)];
  grid.setSelf(devices.track('camera'));
  stops.push(devices.on('changed', ({ device, track }) => (device === 'camera' ? grid.setSelf(track) : undefined)));
  around(call, { grid, panel, devices });
  const verifying = new Verifying(sdk, session);
  stops.push(() => verifying.close());
  decorate(grid, call, session, (member) => verifying.begin(member));
  gestures(call, session);
  new People(session, call, (member) => verifying.begin(member));
  const direct = (): void => void (byId('direct').hidden = !call.direct);
  call.on('reach', direct);
  stops.push(remember(call));
  call.on('ended', ({ error }) => {
    panel.close();
    controls.close();
    for (const stop of stops) stop();
    session.close();
    if (isPageGoing()) return;
    if (error.code === 'unreachable' || error.code === 'protocol') memory.touch();
    else memory.forget();
    ended(error);
    // The login is not in the address any more, so that the page must not be loaded again for this.
    byId('again').onclick = () => {
      call.forget();
      void visit({ ...visitor, before: null }, false).catch((problem: unknown) => askLogin({ ...visitor, before: null }, matrixProblem(problem)));
    };
  });
  call.join().catch(() => undefined);
}

void start();
