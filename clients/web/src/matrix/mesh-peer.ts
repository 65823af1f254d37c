// A direct connection to the browser of one other member: four m-lines in a fixed order, one for each source, that are there
// from the start, so that nothing is negotiated twice. Frames are sealed exactly as on the way to a focus.

import type { CallEvents } from '../call.ts';
import type { MediaView, PublishView } from '../call-view.ts';
import { codecsOfSdp } from '../e2ee/client.ts';
import type { FrameEncryption } from '../e2ee/link.ts';
import { Emitter } from '../emitter.ts';
import { preferCodec, type VideoCodec } from '../encodings.ts';
import type { RemoteParticipant } from '../roster.ts';
import { read, type Reading } from '../stats.ts';
import type { Source, Track } from '../wire.ts';
import { asksKeyFrame, readTracks, type MeshBody, type MeshTrack } from './mesh-message.ts';

const SOURCES: readonly Source[] = ['microphone', 'camera', 'screen', 'screen_audio'];
/** Host candidates are there at once; without an answer from a STUN server nobody waits longer. */
const GATHER_MS = 1_500;
/** After this long without a connection the focus is used. */
const CONNECT_MS = 10_000;
/** Key frames are large; several lost ones are made up for by one. */
const KEY_FRAME_MS = 300;
const VIDEO_BPS = 2_500_000;
const SCREEN_BPS = 3_500_000;

type MeshEvents = CallEvents & { connected: undefined; failed: undefined };

export interface MeshPeerOptions {
  readonly offers: boolean;
  readonly identity: string;
  readonly name: string;
  readonly encryption: FrameEncryption;
  readonly codec: VideoCodec;
  readonly iceServers: RTCIceServer[];
  readonly send: (body: MeshBody) => void;
}

export class MeshPeer extends Emitter<MeshEvents> implements MediaView, PublishView {
  readonly pc: RTCPeerConnection;
  readonly #options: MeshPeerOptions;
  readonly #channel: RTCDataChannel;
  readonly #lines = new Map<Source, RTCRtpTransceiver>();
  readonly #published = new Map<Source, { track: MediaStreamTrack | null; muted: boolean }>();
  readonly #participants = new Map<string, RemoteParticipant>();
  #playing = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #connected = false;
  /** Tracks of which something has come. */
  readonly #opened = new Set<string>();
  #keyFrameAt = 0;

  constructor(options: MeshPeerOptions) {
    super();
    this.#options = options;
    this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: options.iceServers });
    this.#channel = this.pc.createDataChannel('rust-sfu-mesh', { negotiated: true, id: 0, ordered: true });
    this.#channel.onopen = () => this.#tell();
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => this.#told(String(data));
    this.pc.onconnectionstatechange = () => this.#stateChanged();
    options.encryption.on('state', ({ track, state }) => {
      // Frames were missing before: there is no focus here that would ask for a key frame.
      if (state === 'ok' && this.#opened.has(track)) this.#say({ key_frame: true });
      this.#opened.add(track);
      this.emit('encryption', { participant: options.identity, track, state });
    });
    this.#timer = setTimeout(() => (this.#connected ? undefined : this.emit('failed', undefined)), CONNECT_MS);
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#participants;
  }

  get connected(): boolean {
    return this.#connected;
  }

  async offer(): Promise<void> {
    for (const source of SOURCES) this.#prepare(source, this.pc.addTransceiver(kindOf(source), { direction: 'sendrecv' }));
    await this.pc.setLocalDescription(await this.pc.createOffer());
    await this.#gathered();
    this.#options.send({ t: 'offer', sdp: this.pc.localDescription?.sdp ?? '' });
  }

  async handle(body: MeshBody): Promise<void> {
    if (body.t === 'offer' && !this.#options.offers && this.pc.signalingState === 'stable') {
      await this.pc.setRemoteDescription({ type: 'offer', sdp: body.sdp });
      this.pc.getTransceivers().forEach((transceiver, index) => {
        const source = SOURCES[index];
        if (!source) return;
        transceiver.direction = 'sendrecv';
        this.#prepare(source, transceiver);
      });
      await this.pc.setLocalDescription(await this.pc.createAnswer());
      await this.#gathered();
      this.#options.send({ t: 'answer', sdp: this.pc.localDescription?.sdp ?? '' });
    } else if (body.t === 'answer' && this.pc.signalingState === 'have-local-offer') {
      await this.pc.setRemoteDescription({ type: 'answer', sdp: body.sdp });
    } else return;
    this.#options.encryption.setCodecs(codecsOfSdp(`${this.pc.localDescription?.sdp ?? ''}\n${this.pc.remoteDescription?.sdp ?? ''}`));
  }

  // --- our media

  publish(source: Source, track: MediaStreamTrack | null, muted = false): void {
    this.#published.set(source, { track, muted });
    this.#send(source, track);
    this.#tell();
  }

  unpublish(source: Source): void {
    this.#published.delete(source);
    this.#send(source, null);
    this.#tell();
  }

  async replaceTrack(source: Source, track: MediaStreamTrack | null): Promise<void> {
    const published = this.#published.get(source);
    if (published) published.track = track;
    await this.#lines.get(source)?.sender.replaceTrack(track);
    this.#tell();
  }

  setMuted(source: Source, muted: boolean): void {
    const published = this.#published.get(source);
    if (published) published.muted = muted;
    this.#tell();
  }

  async stats(): Promise<Reading> {
    return read((await this.pc.getStats()) as unknown as Map<string, unknown>, performance.now());
  }

  /** There is one size; the browser of the other adapts it to the path. */
  want(): void {}

  close(): void {
    clearTimeout(this.#timer);
    this.pc.onconnectionstatechange = null;
    this.#options.encryption.close();
    this.pc.close();
    this.#participants.clear();
  }

  // --- inside

  #prepare(source: Source, transceiver: RTCRtpTransceiver): void {
    // Both before anything is negotiated: nothing leaves in clear, and nothing comes in unopened.
    this.#options.encryption.protectSender(transceiver.sender, source);
    this.#options.encryption.protectReceiver(transceiver.receiver, source);
    this.#options.encryption.expect(source, { owner: this.#options.identity, track: source, encrypted: true });
    if (kindOf(source) === 'video') preferCodec(transceiver, this.#options.codec);
    this.#lines.set(source, transceiver);
    this.#send(source, this.#published.get(source)?.track ?? null);
  }

  #send(source: Source, track: MediaStreamTrack | null): void {
    const sender = this.#lines.get(source)?.sender;
    if (!sender) return;
    void sender.replaceTrack(track).then(() => {
      const parameters = sender.getParameters();
      const [encoding] = parameters.encodings;
      if (!track || track.kind !== 'video' || !encoding) return undefined;
      encoding.maxBitrate = source === 'screen' ? SCREEN_BPS : VIDEO_BPS;
      return sender.setParameters(parameters);
    }).catch((error: unknown) => this.emit('warning', { message: String(error) }));
  }

  #told(text: string): void {
    if (!asksKeyFrame(text)) return this.#tracks(readTracks(text));
    const now = performance.now();
    if (now - this.#keyFrameAt < KEY_FRAME_MS) return;
    this.#keyFrameAt = now;
    this.#options.encryption.askKeyFrames();
  }

  #say(message: object): void {
    if (this.#channel.readyState === 'open') this.#channel.send(JSON.stringify(message));
  }

  #tell(): void {
    const tracks: MeshTrack[] = [...this.#published].map(([source, { track, muted }]) => {
      const { width = null, height = null } = track?.getSettings() ?? {};
      return { source, muted, width, height };
    });
    this.#say({ tracks });
  }

  #tracks(list: readonly MeshTrack[]): void {
    const { identity, name } = this.#options;
    const tracks = new Map(list.map(({ source, muted, width, height }): [string, Track] => [source, {
      track: source,
      kind: kindOf(source),
      source,
      muted,
      enc: { format: 'sframe', key_index: 0 },
      ...(width && height ? { width, height } : {}),
    }]));
    const participant: RemoteParticipant = { id: identity, identity, name, keys: [], tracks, quality: null };
    const known = this.#participants.has(identity);
    this.#participants.set(identity, participant);
    this.emit(known ? 'participant-updated' : 'participant-joined', participant);
    for (const track of tracks.values()) {
      const media = this.#lines.get(track.source)?.receiver.track;
      if (this.#playing.has(track.track) || !media) continue;
      this.emit('media', { participant, track, media });
    }
    for (const track of this.#playing) if (!tracks.has(track)) this.emit('media-ended', { track });
    this.#playing = new Set(tracks.keys());
  }

  #stateChanged(): void {
    const state = this.pc.connectionState;
    if (state === 'connected' && !this.#connected) {
      this.#connected = true;
      this.emit('connected', undefined);
    }
    if (state === 'failed') this.emit('failed', undefined);
  }

  async #gathered(): Promise<void> {
    if (this.pc.iceGatheringState === 'complete') return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GATHER_MS);
      this.pc.onicegatheringstatechange = () => {
        if (this.pc.iceGatheringState !== 'complete') return;
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function kindOf(source: Source): 'audio' | 'video' {
  return source === 'microphone' || source === 'screen_audio' ? 'audio' : 'video';
}
