// One tile: a person (camera and microphone), or a shared screen (with its sound).

import type { EncryptionState, Pause, RemoteParticipant, Score, Source, Track } from '../index.ts';
import { create, icon, setIcon } from './dom.ts';
import { keyWord, tileNote } from './words.ts';

export type TileKind = 'person' | 'screen';

const LOCKS: Record<EncryptionState, { icon: string; readonly text: string }> = {
  ok: { icon: 'lock', text: 'End-to-end encrypted: frames were decrypted here' },
  'missing-key': { icon: 'alert', get text() { return keyWord('missing'); } },
  failed: { icon: 'alert', get text() { return keyWord('failed'); } },
  off: { icon: 'unlock', text: 'Not end-to-end encrypted: the server could listen' },
};
const QUALITY: Record<Score, string> = { good: 'Good connection', fair: 'Fair connection', poor: 'Poor connection', lost: 'Connection lost' };
/** The worst of a tile's tracks is what the tile shows. */
const WORST: readonly EncryptionState[] = ['failed', 'missing-key', 'off', 'ok'];

/** `data-source` of the media element; a screen's sound belongs to the screen. */
function sourceName(source: Source): string {
  return source === 'screen_audio' ? 'screen' : source;
}

export function tileKindOf(source: Source): TileKind {
  return source === 'screen' || source === 'screen_audio' ? 'screen' : 'person';
}

export function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  return [...(words[0] ?? '?')].slice(0, 1).concat([...(words[1] ?? '')].slice(0, 1)).join('').toUpperCase();
}

/** A colour of the person's own, the same on every screen. */
export function hue(name: string): number {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return sum;
}

export class Tile {
  readonly root: HTMLElement;
  readonly participant: string;
  readonly kind: TileKind;
  readonly #name: string;
  readonly #address: string;
  readonly #media = new Map<string, { element: HTMLMediaElement; source: Source }>();
  readonly #states = new Map<string, EncryptionState>();
  /** Why videos do not flow, where they do not. */
  readonly #paused = new Map<string, Pause>();
  readonly #lock: HTMLElement;
  readonly #quality: HTMLElement;
  readonly #muted: HTMLElement;
  readonly #note: HTMLElement;

  constructor(participant: RemoteParticipant, kind: TileKind, address = participant.name) {
    this.#address = address;
    this.participant = participant.id;
    this.kind = kind;
    this.#name = participant.name;
    this.#lock = create('span', { class: 'lock', role: 'img' }, icon('wait'));
    this.#quality = create('span', { class: 'quality', role: 'img' }, icon('bars'));
    this.#muted = create('span', { class: 'muted', role: 'img', 'aria-label': 'Microphone is off', title: 'Microphone is off' }, icon('mic-off'));
    this.#note = create('p', { class: 'note' });
    const avatar = create('div', { class: 'avatar', 'aria-hidden': 'true' }, initials(participant.name));
    avatar.style.setProperty('--hue', String(hue(participant.name)));
    const title = kind === 'screen' ? `Screen of ${participant.name}` : participant.name;
    const label = create('div', { class: 'label' }, this.#muted, create('span', { class: 'name' }, title), this.#quality, this.#lock);
    this.root = create('article', { class: `tile ${kind}`, 'aria-label': title, tabindex: '0' }, avatar, this.#note, label);
    this.#muted.hidden = true;
    this.#quality.hidden = true;
    this.#judge();
  }

  /** Makes the element of a track; it plays once `play` gives it media. */
  addTrack(track: Track): HTMLMediaElement {
    const known = this.#media.get(track.track);
    if (known) return known.element;
    const element = create(track.kind, { autoplay: '', playsinline: '', 'data-participant': this.#address, 'data-source': sourceName(track.source) });
    element.setAttribute('aria-label', `${sourceName(track.source)} of ${this.#name}`);
    // Sound has its own element, so that nothing is heard twice.
    if (element instanceof HTMLVideoElement) {
      element.muted = true;
      element.addEventListener('resize', () => this.#shape(element));
    }
    this.#media.set(track.track, { element, source: track.source });
    this.root.prepend(element);
    this.update(track);
    return element;
  }

  update(track: Track): void {
    if (track.source === 'microphone') this.#muted.hidden = !track.muted;
    if (track.kind === 'video') this.root.classList.toggle('video-off', track.muted);
    if (!track.enc) this.setEncryption(track.track, 'off');
    else if (this.#states.get(track.track) === 'off') this.setEncryption(track.track, null);
  }

  removeTrack(id: string): void {
    const media = this.#media.get(id);
    if (!media) return;
    this.#media.delete(id);
    media.element.srcObject = null;
    media.element.remove();
    if (media.source === 'microphone') this.#muted.hidden = true;
    this.#states.delete(id);
    this.#paused.delete(id);
    this.#judge();
  }

  play(id: string, track: MediaStreamTrack | null): void {
    const element = this.#media.get(id)?.element;
    if (!element) return;
    const playing = element.srcObject instanceof MediaStream ? element.srcObject : null;
    if (track && playing) {
      // In the same stream, so that the picture stands until the next one comes.
      const before = playing.getTracks();
      playing.addTrack(track);
      for (const old of before) if (old !== track) playing.removeTrack(old);
      return;
    }
    element.srcObject = track && new MediaStream([track]);
    if (!track) this.root.classList.remove('playing');
    else element.play().catch(() => element.dispatchEvent(new Event('play-refused', { bubbles: true })));
  }

  get empty(): boolean {
    return this.#media.size === 0;
  }

  videos(): { id: string; element: HTMLMediaElement }[] {
    return [...this.#media].filter(([, { element }]) => element instanceof HTMLVideoElement).map(([id, { element }]) => ({ id, element }));
  }

  setEncryption(track: string, state: EncryptionState | null): void {
    if (state) this.#states.set(track, state);
    else this.#states.delete(track);
    this.#judge();
  }

  /** `null` while nothing is known: no frame has come yet. */
  get encryption(): EncryptionState | null {
    const states = new Set(this.#states.values());
    return WORST.find((state) => states.has(state)) ?? null;
  }

  setQuality(score: Score | null): void {
    this.#quality.hidden = score === null || this.kind === 'screen';
    if (!score) return;
    this.#quality.dataset['quality'] = score;
    this.#quality.setAttribute('aria-label', QUALITY[score]);
    this.#quality.title = QUALITY[score];
  }

  setSpeaking(speaking: boolean): void {
    this.root.classList.toggle('speaking', speaking);
  }

  /** `null`: it flows. */
  setPaused(track: string, paused: Pause | null): void {
    if (paused) this.#paused.set(track, paused);
    else this.#paused.delete(track);
    this.#judge();
  }

  #judge(): void {
    const state = this.encryption;
    if (state) this.root.dataset['encryption'] = state;
    else delete this.root.dataset['encryption'];
    const { icon: name, text } = state ? LOCKS[state] : { icon: 'wait', text: 'Encryption: nothing received yet' };
    setIcon(this.#lock, name);
    this.#lock.setAttribute('aria-label', text);
    this.#lock.title = text;
    const note = tileNote({ state, text }, this.#paused.values());
    if (this.#note.textContent !== note) this.#note.textContent = note;
    this.root.classList.toggle('starved', [...this.#paused.values()].includes('bandwidth'));
  }

  #shape(video: HTMLVideoElement): void {
    this.root.classList.toggle('playing', video.videoWidth > 0);
    this.root.classList.toggle('portrait', video.videoHeight > video.videoWidth);
  }
}
