// One RTCPeerConnection with everything on it: what we publish, the receive slots, and keeping ICE alive. A fresh join
// makes a new one; a resumed session keeps it.

import { codecsOfSdp } from './e2ee/client.ts';
import type { FrameEncryption } from './e2ee/link.ts';
import { Emitter } from './emitter.ts';
import { encodingsFor, preferCodec, supportsScalability, takeForwarded, type VideoCodec } from './encodings.ts';
import { Negotiator } from './negotiator.ts';
import { SlotPool, type Slot } from './slots.ts';
import { Subscriptions, type Wish } from './subscriptions.ts';
import type { Path } from './todevice/carriage.ts';
import type { Channel } from './todevice/channel-socket.ts';
import type { ClientBody, ClientMessage, Kind, PublishedTrack, ServerBody, Source, Track } from './wire.ts';

export interface MediaEvents {
  /** The focus knows this track under an id now. */
  published: { source: Source; id: string; /** Muted or unmuted since the offer was made. */ muteChanged: boolean };
  failed: { error: unknown };
  ice: { state: RTCIceConnectionState };
  /** ICE does not get through and will be restarted, which is to be told another way than over this connection. */
  'path-lost': undefined;
  /** Whatever {@link MediaSession.path} tells may have changed. */
  path: undefined;
}

export interface MediaOptions {
  readonly send: <T extends ClientMessage['t']>(t: T, b: ClientBody<T>) => number | null;
  /** `null`: this browser cannot encrypt, and there is nothing to encrypt. */
  readonly encryption: FrameEncryption | null;
  /** `null`: we send unencrypted. */
  readonly keyIndex: () => number | null;
  readonly codec: VideoCodec;
  readonly simulcast: boolean;
  readonly iceServers: RTCIceServer[];
}

/** Something that we publish. It survives a fresh join, its m-line does not. */
export interface Publication {
  readonly source: Source;
  /** `null` while the device is released, for example a camera that is switched off. */
  track: MediaStreamTrack | null;
  muted: boolean;
}

interface Published {
  readonly publication: Publication;
  readonly transceiver: RTCRtpTransceiver;
  id: string | null;
  offeredMuted: boolean;
}

/** `disconnected` often heals by itself; a restart before that would only add to the trouble. */
const DISCONNECTED_MS = 3000;

export function kindOf(source: Source): Kind {
  return source === 'microphone' || source === 'screen_audio' ? 'audio' : 'video';
}

export class MediaSession extends Emitter<MediaEvents> {
  readonly pc: RTCPeerConnection;
  readonly path: Path;
  readonly #options: MediaOptions;
  readonly #negotiator: Negotiator;
  readonly #slots: SlotPool<RTCRtpTransceiver>;
  readonly #subscriptions = new Subscriptions();
  /** One transceiver per source, used again when the source is published again. */
  readonly #published = new Map<Source, Published>();
  #iceTimer: ReturnType<typeof setTimeout> | undefined;
  #flushTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: MediaOptions) {
    super();
    this.#options = options;
    this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: options.iceServers });
    // For signalling that has no socket; opened now, because adding it later would cost an m-line and an offer of its own.
    const channel = this.pc.createDataChannel('rust-sfu', { ordered: true });
    for (const type of ['open', 'close']) channel.addEventListener(type, () => this.emit('path', undefined));
    this.path = this.#pathOver(channel);
    this.#negotiator = new Negotiator(this.pc as unknown as ConstructorParameters<typeof Negotiator>[0], {
      tracks: () => this.#publishedTracks(),
      send: (offer) => options.send('offer', offer),
      answered: (answer) => this.#answered(answer),
      failed: (error) => this.emit('failed', { error }),
      settled: () => this.emit('path', undefined),
    });
    this.#slots = new SlotPool(
      (kind, name) => this.#createSlot(kind, name),
      () => this.#negotiator.request(),
    );
    this.pc.oniceconnectionstatechange = () => this.#iceChanged();
  }

  /** Offers, though there is nothing yet but the data channel. */
  begin(): void {
    this.#negotiator.request();
  }

  // --- publishing

  publish(publication: Publication): void {
    const { source, track } = publication;
    const known = this.#published.get(source);
    if (known) {
      known.transceiver.direction = 'sendonly';
      this.#published.set(source, { publication, transceiver: known.transceiver, id: null, offeredMuted: false });
      void known.transceiver.sender.replaceTrack(track);
    } else {
      const { width = 1280, height = 720 } = track?.getSettings() ?? {};
      const { codec, simulcast } = this.#options;
      const transceiver = this.pc.addTransceiver(track ?? kindOf(source), {
        direction: 'sendonly',
        sendEncodings: encodingsFor({ source, width, height, codec, simulcast, scalable: supportsScalability() }),
      });
      if (this.#options.keyIndex() !== null) this.#options.encryption?.protectSender(transceiver.sender, source);
      if (kindOf(source) === 'video') preferCodec(transceiver, codec);
      this.#published.set(source, { publication, transceiver, id: null, offeredMuted: false });
    }
    this.#negotiator.request();
  }

  unpublish(source: Source): void {
    const published = this.#published.get(source);
    if (!published || published.transceiver.direction === 'inactive') return;
    published.transceiver.direction = 'inactive';
    published.id = null;
    void published.transceiver.sender.replaceTrack(null);
    this.#negotiator.request();
  }

  /** Another device, or none while switched off: needs no offer. */
  async replaceTrack(source: Source, track: MediaStreamTrack | null): Promise<void> {
    await this.#published.get(source)?.transceiver.sender.replaceTrack(track);
  }

  publishedId(source: Source): string | null {
    return this.#published.get(source)?.id ?? null;
  }

  // --- subscribing

  /** The slot for this track; its media appears on `slot.media.receiver.track`. */
  subscribe(track: Track, owner: string, wish: Wish): Slot<RTCRtpTransceiver> {
    const slot = this.#slots.assign(track.track, track.kind);
    this.#options.encryption?.expect(slot.name, { owner, track: track.track, encrypted: track.enc !== undefined });
    this.#subscriptions.wish(track.track, wish);
    this.#flushSoon();
    return slot;
  }

  unsubscribe(track: string, ended: boolean): void {
    if (ended) this.#subscriptions.ended(track);
    else this.#subscriptions.drop(track);
    const slot = this.#slots.release(track);
    if (slot) this.#options.encryption?.expect(slot.name, null);
    this.#flushSoon();
  }

  /** Makes slots for what is known to come, so that the first offer holds them. */
  reserve(audio: number, video: number): void {
    if (audio > 0) this.#slots.grow('audio', audio);
    if (video > 0) this.#slots.grow('video', video);
  }

  trackOfSlot(name: string): string | null {
    return this.#slots.all().find((slot) => slot.name === name)?.track ?? null;
  }

  // --- signalling

  handleAnswer(answer: ServerBody<'answer'>): void {
    void this.#negotiator.handleAnswer(answer);
  }

  handleRefusal(re: number | undefined): Promise<boolean> {
    return this.#negotiator.handleRefusal(re);
  }

  handleCandidate(candidate: string): void {
    const init = candidate === '' ? undefined : { candidate, sdpMid: '0', sdpMLineIndex: 0 };
    this.pc.addIceCandidate(init).catch((error: unknown) => console.warn('candidate refused', error));
  }

  /** Tells everything again that may have been lost with the socket. */
  resumed(): void {
    this.#subscriptions.forgetTold();
    this.#flushSoon();
    this.#negotiator.resumed();
    const state = this.pc.iceConnectionState;
    if (state === 'failed' || state === 'disconnected') this.#negotiator.restartIce();
  }

  retell(): void {
    this.#subscriptions.forgetTold();
    this.#flushSoon();
  }

  restartIce(): void {
    this.#negotiator.restartIce();
  }

  close(): void {
    clearTimeout(this.#iceTimer);
    clearTimeout(this.#flushTimer);
    this.pc.oniceconnectionstatechange = null;
    this.pc.close();
  }

  // --- inside

  #createSlot(kind: Kind, name: string): RTCRtpTransceiver {
    const transceiver = this.pc.addTransceiver(kind, { direction: 'recvonly' });
    takeForwarded(transceiver, kind);
    this.#options.encryption?.protectReceiver(transceiver.receiver, name);
    return transceiver;
  }

  #publishedTracks(): PublishedTrack[] {
    const keyIndex = this.#options.keyIndex();
    return [...this.#published.values()]
      .filter(({ transceiver }) => transceiver.mid !== null && transceiver.direction === 'sendonly')
      .map((published) => {
        const { publication, transceiver } = published;
        const { source, track, muted } = publication;
        published.offeredMuted = muted;
        const { width, height } = track?.getSettings() ?? {};
        return {
          mid: transceiver.mid ?? '',
          source,
          muted,
          ...(keyIndex === null ? {} : { enc: { format: 'sframe', key_index: keyIndex } }),
          ...(kindOf(source) === 'video' && width && height ? { width: Math.round(width), height: Math.round(height) } : {}),
        };
      });
  }

  #answered(answer: ServerBody<'answer'>): void {
    this.#options.encryption?.setCodecs(codecsOfSdp(`${this.pc.localDescription?.sdp ?? ''}\n${answer.sdp}`));
    for (const published of this.#published.values()) {
      const id = answer.tracks.find(({ mid }) => mid === published.transceiver.mid)?.track;
      if (id === undefined || published.transceiver.direction !== 'sendonly') continue;
      published.id = id;
      const { source, muted } = published.publication;
      this.emit('published', { source, id, muteChanged: muted !== published.offeredMuted });
    }
    this.#flushSoon();
  }

  /** Several changes of one moment go out as one message. */
  #flushSoon(): void {
    if (this.#flushTimer !== undefined) return;
    this.#flushTimer = setTimeout(() => {
      this.#flushTimer = undefined;
      const changes = this.#subscriptions.changes((track) => this.#answeredMid(track));
      if (changes.length > 0 && this.#options.send('subscribe', { tracks: changes }) !== null) this.#subscriptions.told(changes);
    }, 0);
  }

  /** A mid counts once the focus has answered for it. */
  #answeredMid(track: string): string | null {
    const transceiver = this.#slots.get(track)?.media;
    return transceiver?.currentDirection ? transceiver.mid : null;
  }

  #iceChanged(): void {
    const state = this.pc.iceConnectionState;
    this.emit('ice', { state });
    clearTimeout(this.#iceTimer);
    this.emit('path', undefined);
    if (state === 'failed') this.#pathLost();
    if (state === 'disconnected') this.#iceTimer = setTimeout(() => this.#pathLost(), DISCONNECTED_MS);
  }

  #pathLost(): void {
    this.emit('path-lost', undefined);
    this.#negotiator.restartIce();
  }

  #pathOver(channel: RTCDataChannel): Path {
    const { pc } = this;
    const isSettled = (): boolean => this.#negotiator.isSettled;
    return {
      channel: channel as Channel,
      get isConnected(): boolean {
        return pc.iceConnectionState === 'connected' || pc.iceConnectionState === 'completed';
      },
      get isSettled(): boolean {
        return isSettled();
      },
    };
  }
}
