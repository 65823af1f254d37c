// Before joining: a look at oneself, devices, a name, and what the link says about encryption.

import { newSecret } from '../index.ts';
import { byId, setSwitch, show } from './dom.ts';
import type { Devices } from './devices.ts';
import type { Route } from './route.ts';

export interface Ready {
  readonly name: string;
  readonly secret: string | null;
}

const NAME = 'call.name';

export function rememberedName(): string {
  return localStorage.getItem(NAME) ?? '';
}

/** Resolves when the person presses "Join". */
export function lobby(route: Route, devices: Devices): Promise<Ready> {
  show('lobby');
  byId('lobby-room').textContent = route.room;
  const name = byId<HTMLInputElement>('name');
  name.value = route.name ?? rememberedName();
  const secret = chooseSecret(route);
  const stopPreview = preview(devices);
  const stopMeter = meter(devices);
  void devices.openBoth();
  if (name.value === '') name.focus();
  else byId('join').focus();
  return new Promise((resolve) => {
    byId('join-form').addEventListener('submit', function submitted(event) {
      event.preventDefault();
      if (name.value.trim() === '') return;
      byId('join-form').removeEventListener('submit', submitted);
      stopPreview();
      stopMeter();
      localStorage.setItem(NAME, name.value.trim());
      resolve({ name: name.value.trim(), secret: secret() });
    });
  });
}

/** A link without a secret gets one, said aloud: who has the old link would neither see nor hear anything. */
function chooseSecret(route: Route): () => string | null {
  const text = byId('lobby-encryption-text');
  const without = byId('without-secret');
  let secret = route.secret;
  if (secret) {
    text.textContent = 'End-to-end encrypted. The secret is in your link, behind “#”. Only people with the whole link can see and hear you.';
  } else {
    secret = newSecret();
    history.replaceState(null, '', `#${secret}`);
    text.textContent =
      'The link had no secret, so a new one was made and added to it. Share the link as it is in the address bar now: people with the old one cannot decrypt what you send.';
    without.hidden = false;
    without.addEventListener('click', () => {
      secret = null;
      history.replaceState(null, '', location.pathname + location.search);
      text.textContent = 'Not end-to-end encrypted: the server could listen to this call.';
      byId('lobby-encryption').classList.add('bad');
      without.hidden = true;
    });
  }
  return () => secret;
}

export function preview(devices: Devices): () => void {
  const video = byId<HTMLVideoElement>('preview-video');
  const mic = byId('lobby-mic');
  const camera = byId('lobby-camera');
  const render = (): void => {
    const track = devices.track('camera');
    video.srcObject = track && new MediaStream([track]);
    byId('preview').classList.toggle('playing', track !== null);
    setSwitch(mic, devices.track('microphone') !== null, devices.track('microphone') ? 'mic' : 'mic-off', 'Microphone on or off');
    setSwitch(camera, track !== null, track ? 'camera' : 'camera-off', 'Camera on or off');
  };
  const flip = (device: 'microphone' | 'camera') => (): void => {
    if (devices.track(device)) devices.release(device);
    else void devices.open(device);
  };
  mic.onclick = flip('microphone');
  camera.onclick = flip('camera');
  const problem = byId('lobby-problem');
  const stops = [
    devices.on('changed', render),
    devices.on('problem', (text) => {
      problem.textContent = text;
      problem.hidden = false;
    }),
  ];
  render();
  return () => {
    stops.forEach((stop) => stop());
    video.srcObject = null;
  };
}

/** Shows that the microphone hears something. */
export function meter(devices: Devices): () => void {
  const level = byId<HTMLMeterElement>('mic-level');
  let context: AudioContext | null = null;
  let timer: ReturnType<typeof setInterval> | undefined;
  const stop = (): void => {
    clearInterval(timer);
    void context?.close();
    context = null;
    level.value = 0;
  };
  const start = (): void => {
    stop();
    const track = devices.track('microphone');
    if (!track) return;
    context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      level.value = Math.min(1, 4 * Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length));
    }, 100);
  };
  const off = devices.on('changed', ({ device }) => (device === 'microphone' ? start() : undefined));
  start();
  return () => {
    off();
    stop();
  };
}
