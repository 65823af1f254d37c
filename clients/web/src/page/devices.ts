// Microphone, camera and screen: opening them, choosing among them, and what is on.

import { Emitter } from '../emitter.ts';
import type { Route } from './route.ts';
import { deviceProblem } from './words.ts';

export type Device = 'microphone' | 'camera';

interface DeviceEvents {
  /** A person should know. */
  problem: string;
  /** The track of a device is another one now, or `null`. */
  changed: { device: Device; track: MediaStreamTrack | null };
}

const STORED = { microphone: 'call.microphone', camera: 'call.camera' } as const;

export class Devices extends Emitter<DeviceEvents> {
  readonly #video: Route['video'];
  readonly #tracks: Record<Device, MediaStreamTrack | null> = { microphone: null, camera: null };
  readonly #chosen: Record<Device, string> = {
    microphone: localStorage.getItem(STORED.microphone) ?? '',
    camera: localStorage.getItem(STORED.camera) ?? '',
  };

  constructor(video: Route['video']) {
    super();
    this.#video = video;
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.fillSelects());
  }

  track(device: Device): MediaStreamTrack | null {
    return this.#tracks[device];
  }

  /** Opens both with one question to the person; what fails is left out and reported. */
  async openBoth(): Promise<void> {
    try {
      const stream = await this.#request({ audio: this.#constraints('microphone'), video: this.#constraints('camera') });
      this.#set('microphone', stream.getAudioTracks()[0] ?? null);
      this.#set('camera', stream.getVideoTracks()[0] ?? null);
    } catch {
      // One of the two is missing or refused: which one shows only when they are asked for one by one.
      await this.open('microphone');
      await this.open('camera');
    }
    await this.fillSelects();
  }

  /** Only those that are named. */
  async openThese({ microphone, camera }: Record<Device, boolean>): Promise<void> {
    if (microphone && camera) return this.openBoth();
    if (microphone) await this.open('microphone');
    if (camera) await this.open('camera');
    await this.fillSelects();
  }

  async open(device: Device): Promise<MediaStreamTrack | null> {
    try {
      const constraints = this.#constraints(device);
      const stream = await this.#request(device === 'microphone' ? { audio: constraints } : { video: constraints });
      this.#set(device, stream.getTracks()[0] ?? null);
    } catch (error) {
      this.#set(device, null);
      this.emit('problem', deviceProblem(device, error));
    }
    return this.#tracks[device];
  }

  /** Lets go of a device, so that its light goes out. */
  release(device: Device): void {
    this.#set(device, null);
  }

  async choose(device: Device, id: string): Promise<void> {
    this.#chosen[device] = id;
    localStorage.setItem(STORED[device], id);
    if (this.#tracks[device]) await this.open(device);
  }

  /** Keeps every `<select data-devices>` of the page up to date. */
  async fillSelects(): Promise<void> {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    for (const select of document.querySelectorAll<HTMLSelectElement>('select[data-devices]')) {
      const kind = select.dataset['devices'];
      const some = all.filter((device) => device.kind === kind);
      const options = some.map(({ label, deviceId }, index) => new Option(label || `Device ${index + 1}`, deviceId));
      select.replaceChildren(...(options.length > 0 ? options : [new Option('None found', '')]));
      select.disabled = options.length === 0;
      const device = kind === 'audioinput' ? 'microphone' : kind === 'videoinput' ? 'camera' : null;
      const current = device && (this.#tracks[device]?.getSettings().deviceId ?? this.#chosen[device]);
      if (current && some.some(({ deviceId }) => deviceId === current)) select.value = current;
    }
  }

  #constraints(device: Device): MediaTrackConstraints {
    const chosen = this.#chosen[device] ? { deviceId: { ideal: this.#chosen[device] } } : {};
    if (device === 'microphone') return { ...chosen, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const { width, height, fps } = this.#video;
    return { ...chosen, width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: fps } };
  }

  async #request(constraints: MediaStreamConstraints): Promise<MediaStream> {
    // Without a secure context there is no `mediaDevices` at all.
    if (!navigator.mediaDevices) throw new DOMException('insecure page', 'SecurityError');
    return navigator.mediaDevices.getUserMedia(constraints);
  }

  #set(device: Device, track: MediaStreamTrack | null): void {
    const before = this.#tracks[device];
    if (before === track) return;
    before?.stop();
    this.#tracks[device] = track;
    track?.addEventListener('ended', () => {
      if (this.#tracks[device] !== track) return;
      this.#set(device, null);
      this.emit('problem', `The ${device} was unplugged or taken away.`);
    });
    this.emit('changed', { device, track });
  }
}

/** The screen, with its sound where the browser can. `null` when the person changed their mind. */
export async function openScreen(): Promise<{ video: MediaStreamTrack; audio: MediaStreamTrack | null }> {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { frameRate: { ideal: 15, max: 30 } },
    // What the others say must not come back to them.
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const video = stream.getVideoTracks()[0];
  if (!video) throw new DOMException('no picture', 'NotFoundError');
  video.contentHint = 'detail';
  return { video, audio: stream.getAudioTracks()[0] ?? null };
}
