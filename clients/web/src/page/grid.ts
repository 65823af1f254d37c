// All tiles: people in a grid, shared screens on a stage above or beside it.

import type { CallView } from '../call-view.ts';
import type { EncryptionState, RemoteParticipant, Track } from '../index.ts';
import { byId, create } from './dom.ts';
import { bestColumns, tileWidth } from './layout.ts';
import { Tile, tileKindOf } from './tile.ts';
import { Visibility } from './visibility.ts';

/** As in the style sheet: between tiles, and around them so that focus rings are not cut off. */
const GAP = 10;
const PADDING = 4;
const SMALLEST = 140;

export class Grid {
  readonly #call: CallView;
  readonly #grid = byId('grid');
  readonly #stage = byId('stage');
  readonly #people = new Map<string, Tile>();
  readonly #screens = new Map<string, Tile>();
  readonly #visibility: Visibility;
  readonly #self: HTMLElement;
  readonly #selfVideo: HTMLVideoElement;
  /** What scripts find a person by. */
  readonly #address: (participant: RemoteParticipant) => string;
  /** Called when the encryption of some tile changed. */
  onencryption: () => void = () => undefined;

  constructor(call: CallView, ownName: string, address: (participant: RemoteParticipant) => string = ({ name }) => name) {
    this.#call = call;
    this.#address = address;
    this.#visibility = new Visibility((track, wish) => call.want(track, wish));
    this.#selfVideo = create('video', { autoplay: '', muted: '', playsinline: '', 'aria-label': 'Your camera' });
    this.#selfVideo.muted = true;
    const avatar = create('div', { class: 'avatar', 'aria-hidden': 'true' }, 'You');
    const label = create('div', { class: 'label' }, create('span', { class: 'name' }, `${ownName} (you)`));
    this.#self = create('article', { class: 'tile person self', 'aria-label': 'You', tabindex: '0' }, this.#selfVideo, avatar, label);
    this.#grid.replaceChildren(this.#self);
    this.#stage.replaceChildren();
    new ResizeObserver(() => this.#arrange()).observe(byId('stage-and-grid'));
    this.#listen();
    this.#arrange();
  }

  setSelf(track: MediaStreamTrack | null): void {
    this.#selfVideo.srcObject = track && new MediaStream([track]);
    this.#self.classList.toggle('playing', track !== null);
  }

  /** Our own tile, and the one of somebody else if there is one. */
  get self(): HTMLElement {
    return this.#self;
  }

  tileOf(participant: string): Tile | undefined {
    return this.#people.get(participant);
  }

  encryptionStates(): (EncryptionState | null)[] {
    return this.#tiles().filter((tile) => !tile.empty).map((tile) => tile.encryption);
  }

  /** Names of the people whose tile stands so. */
  namesWith(state: EncryptionState): string[] {
    const ids = new Set(this.#tiles().filter((tile) => tile.encryption === state).map((tile) => tile.participant));
    return [...ids].map((id) => this.#call.participants.get(id)?.name ?? '?');
  }

  setSpeakers(ids: readonly string[]): void {
    for (const [id, tile] of this.#people) tile.setSpeaking(ids.includes(id));
    this.#self.classList.toggle('speaking', this.#call.participantId !== null && ids.includes(this.#call.participantId));
  }

  #listen(): void {
    const call = this.#call;
    call.on('participant-joined', (participant) => this.#person(participant));
    call.on('participant-updated', (participant) => this.#person(participant).setQuality(participant.quality));
    call.on('participant-left', ({ participant }) => this.#remove(this.#people, participant.id));
    call.on('track-added', ({ participant, track }) => this.#addTrack(participant, track));
    call.on('track-changed', ({ participant, track }) => this.#tileOf(participant, track).update(track));
    call.on('track-removed', ({ participant, track }) => this.#removeTrack(participant.id, track));
    call.on('media', ({ participant, track, media }) => this.#tileOf(participant, track).play(track.track, media));
    call.on('media-ended', ({ track }) => {
      for (const tile of this.#tiles()) {
        tile.play(track, null);
        tile.setPaused(track, null);
        // What is shown next comes over a new slot and has to prove itself again.
        if (tile.videos().some(({ id }) => id === track) && tile.encryption !== 'off') tile.setEncryption(track, null);
      }
      this.onencryption();
    });
    call.on('encryption', ({ participant, track, state }) => {
      const found = call.participants.get(participant)?.tracks.get(track);
      const remote = call.participants.get(participant);
      if (found && remote) this.#tileOf(remote, found).setEncryption(track, state);
      this.onencryption();
    });
    call.on('paused', ({ track, paused }) => {
      const tile = this.#tiles().find((candidate) => candidate.videos().some(({ id }) => id === track));
      tile?.setPaused(track, paused);
    });
  }

  #tiles(): Tile[] {
    return [...this.#people.values(), ...this.#screens.values()];
  }

  #person(participant: RemoteParticipant): Tile {
    let tile = this.#people.get(participant.id);
    if (!tile) {
      tile = new Tile(participant, 'person', this.#address(participant));
      this.#people.set(participant.id, tile);
      this.#self.before(tile.root);
      tile.setQuality(participant.quality);
      this.#arrange();
    }
    return tile;
  }

  #screen(participant: RemoteParticipant): Tile {
    let tile = this.#screens.get(participant.id);
    if (!tile) {
      tile = new Tile(participant, 'screen', this.#address(participant));
      this.#screens.set(participant.id, tile);
      this.#stage.append(tile.root);
      this.#arrange();
    }
    return tile;
  }

  #tileOf(participant: RemoteParticipant, track: Track): Tile {
    return tileKindOf(track.source) === 'screen' ? this.#screen(participant) : this.#person(participant);
  }

  #addTrack(participant: RemoteParticipant, track: Track): void {
    const element = this.#tileOf(participant, track).addTrack(track);
    if (track.kind === 'video') this.#visibility.watch(track.track, element.parentElement ?? element);
    this.onencryption();
  }

  #removeTrack(participant: string, track: Track): void {
    const tiles = tileKindOf(track.source) === 'screen' ? this.#screens : this.#people;
    const tile = tiles.get(participant);
    if (!tile) return;
    if (track.kind === 'video') this.#visibility.unwatch(tile.root);
    tile.removeTrack(track.track);
    tile.root.classList.remove('playing', 'video-off');
    if (tile.empty && tile.kind === 'screen') this.#remove(this.#screens, participant);
    this.onencryption();
  }

  #remove(tiles: Map<string, Tile>, participant: string): void {
    const tile = tiles.get(participant);
    if (!tile) return;
    tiles.delete(participant);
    this.#visibility.unwatch(tile.root);
    tile.root.remove();
    this.#arrange();
    this.onencryption();
  }

  #arrange(): void {
    this.#stage.hidden = this.#screens.size === 0;
    byId('stage-and-grid').classList.toggle('has-stage', this.#screens.size > 0);
    byId('alone').hidden = this.#people.size > 0;
    const count = this.#people.size + 1;
    // Not `offsetWidth`, which rounds up: half a pixel too much puts a tile on the next line.
    const box = this.#grid.getBoundingClientRect();
    const width = Math.floor(box.width) - 2 * PADDING;
    const height = Math.floor(box.height) - 2 * PADDING;
    const columns = bestColumns(count, width, height, GAP);
    const fitting = tileWidth(count, columns, width, height, GAP);
    // On a small page tiles may scroll rather than become stamps. A scroll bar that came otherwise would take the width
    // that makes the tiles fit, and so keep itself.
    this.#grid.style.overflowY = fitting < SMALLEST ? 'auto' : 'hidden';
    const size = Math.max(Math.min(width, SMALLEST), fitting);
    this.#grid.style.setProperty('--tile', `${size}px`);
  }
}
