// The switches of a running call: microphone, camera, screen, and the keys that work them.

import type { CallView } from '../call-view.ts';
import { openScreen, type Device, type Devices } from './devices.ts';
import { byId, setSwitch } from './dom.ts';
import { announce, toast } from './notices.ts';
import { deviceProblem } from './words.ts';

export class Controls {
  readonly #call: CallView;
  readonly #devices: Devices;
  #screen: MediaStreamTrack[] = [];
  #busy = false;

  constructor(call: CallView, devices: Devices) {
    this.#call = call;
    this.#devices = devices;
    byId('toggle-mic').onclick = () => void this.#once(() => this.#toggle('microphone'));
    byId('toggle-camera').onclick = () => void this.#once(() => this.#toggle('camera'));
    byId('toggle-screen').onclick = () => void this.#once(() => this.#toggleScreen());
    byId('toggle-screen').hidden = !navigator.mediaDevices || !('getDisplayMedia' in navigator.mediaDevices);
    this.render();
  }

  /** Publishes what is open, and keeps up with devices that are changed or pulled out. */
  publishDevices(): () => void {
    for (const device of ['microphone', 'camera'] as const) {
      const track = this.#devices.track(device);
      if (track) this.#call.publish(device, track);
    }
    this.render();
    return this.#devices.on('changed', ({ device, track }) => void this.#deviceChanged(device, track));
  }

  close(): void {
    this.#stopScreen();
    this.#devices.release('microphone');
    this.#devices.release('camera');
  }

  render(): void {
    const mic = this.#on('microphone');
    const camera = this.#on('camera');
    setSwitch(byId('toggle-mic'), mic, mic ? 'mic' : 'mic-off', mic ? 'Turn the microphone off (M)' : 'Turn the microphone on (M)');
    setSwitch(byId('toggle-camera'), camera, camera ? 'camera' : 'camera-off', camera ? 'Turn the camera off (V)' : 'Turn the camera on (V)');
    const sharing = this.#screen.length > 0;
    setSwitch(byId('toggle-screen'), sharing, 'screen', sharing ? 'Stop sharing (S)' : 'Share the screen (S)');
  }

  #on(device: Device): boolean {
    const publication = this.#call.publication(device);
    return publication?.track != null && !publication.muted;
  }

  /** Opening a device takes a while; a second press meanwhile would undo the first halfway. */
  async #once(work: () => Promise<void>): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    await work().finally(() => (this.#busy = false));
    this.render();
  }

  async #toggle(device: Device): Promise<void> {
    if (this.#on(device)) {
      this.#call.setMuted(device, true);
      // The camera is let go, so that its light goes out. The microphone is kept: it must be back within a word.
      if (device === 'camera') this.#devices.release(device);
    } else {
      const track = this.#devices.track(device) ?? (await this.#devices.open(device));
      if (!track) return;
      if (this.#call.publication(device)) this.#call.setMuted(device, false);
      else this.#call.publish(device, track);
    }
    announce(`${device} ${this.#on(device) ? 'on' : 'off'}`);
  }

  async #deviceChanged(device: Device, track: MediaStreamTrack | null): Promise<void> {
    const publication = this.#call.publication(device);
    if (publication) {
      await this.#call.replaceTrack(device, track);
      if (!track && !publication.muted) this.#call.setMuted(device, true);
    } else if (track) {
      this.#call.publish(device, track);
    }
    this.render();
  }

  async #toggleScreen(): Promise<void> {
    if (this.#screen.length > 0) {
      this.#stopScreen();
      return;
    }
    try {
      const { video, audio } = await openScreen();
      this.#screen = audio ? [video, audio] : [video];
      video.addEventListener('ended', () => {
        // The browser's own "stop sharing" was pressed.
        if (this.#screen.includes(video)) this.#stopScreen();
        this.render();
      });
      this.#call.publish('screen', video);
      if (audio) this.#call.publish('screen_audio', audio);
      announce('You share your screen');
    } catch (error) {
      toast(deviceProblem('screen', error));
    }
  }

  #stopScreen(): void {
    if (this.#screen.length === 0) return;
    for (const track of this.#screen) track.stop();
    this.#screen = [];
    this.#call.unpublish('screen');
    this.#call.unpublish('screen_audio');
    announce('You no longer share your screen');
  }
}

const KEYS: Record<string, string> = { m: 'toggle-mic', v: 'toggle-camera', s: 'toggle-screen', i: 'toggle-stats', '?': 'open-help' };
const SHORTCUTS = 'call.shortcuts';

/** Single keys, which a person can switch off (WCAG 2.1.4): speech input and stray fingers press them too. */
export function shortcuts(): void {
  const on = byId<HTMLInputElement>('shortcuts-on');
  on.checked = localStorage.getItem(SHORTCUTS) !== 'off';
  on.addEventListener('change', () => localStorage.setItem(SHORTCUTS, on.checked ? 'on' : 'off'));
  document.addEventListener('keydown', (event) => {
    const typing = event.target instanceof Element && event.target.closest('input, select, textarea, dialog') !== null;
    if (!on.checked || typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || byId('call').hidden) return;
    const id = KEYS[event.key.toLowerCase()];
    if (!id) return;
    event.preventDefault();
    byId(id).click();
  });
}
