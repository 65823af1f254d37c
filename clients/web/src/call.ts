// A call, as an application sees it: join, publish, say which videos are wanted at what size, listen to events, leave.
// Sessions, sockets and peer connections come and go underneath; what is published and wanted is kept across them.

import type { CallEvents, CallOptions, CallState } from './call-types.ts';
import { realClock, type Clock } from './clock.ts';
import type { CallView } from './call-view.ts';
import { canEncrypt } from './e2ee/link.ts';
import type { EncryptionState } from './e2ee/messages.ts';
import { Emitter } from './emitter.ts';
import { Entrance } from './entrance.ts';
import { CallError } from './errors.ts';
import type { Line, SignallingWay } from './line.ts';
import { MediaSession, type Publication } from './media.ts';
import { Publications } from './publications.ts';
import { Receiving, RECEIVING_EVENTS } from './receiving.ts';
import type { RemoteParticipant } from './roster.ts';
import { SessionKeys } from './session-keys.ts';
import { read, type Reading } from './stats.ts';
import type { Wish } from './subscriptions.ts';
import type { ClientBody, ServerBody, ServerMessage, Source } from './wire.ts';

export type { CallEvents, CallOptions, CallState };

export class Call extends Emitter<CallEvents> implements CallView {
  readonly #options: CallOptions;
  readonly #clock: Clock = realClock;
  readonly #entrance: Entrance;
  readonly #publications = new Publications();
  readonly #receiving = new Receiving({ askKeyFrame: (track) => void this.#line?.signalling.send('keyframe', { track }) });
  #state: CallState = 'idle';
  #participant: string | null = null;
  #media: MediaSession | null = null;
  /** The peer connection holds a data channel and nothing else yet. */
  #isBare = false;
  #keys: SessionKeys | null = null;
  #joining: { resolve: () => void; reject: (error: CallError) => void } | null = null;
  #counters = { sealed: 0, opened: 0, dropped: 0 };

  constructor(options: CallOptions) {
    super();
    this.#options = options;
    this.#entrance = new Entrance({ token: options.token, client: options.client ?? 'sfu-web/0.1', clock: this.#clock });
    this.#entrance.on('welcome', (welcome) => this.#welcomed(welcome));
    this.#entrance.on('message', (message) => this.#handle(message));
    this.#entrance.on('interrupted', () => this.#refreshState());
    this.#entrance.on('again', () => this.#setState('reconnecting'));
    this.#entrance.on('failed', (error) => this.#end(error));
    for (const type of RECEIVING_EVENTS) this.#receiving.on(type, (event) => this.emit(type, event as never));
  }

  get state(): CallState {
    return this.#state;
  }

  /** Our own participant id, once joined. */
  get participantId(): string | null {
    return this.#participant;
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#receiving.participants;
  }

  /** Whether what we send is encrypted end to end. */
  get encrypting(): boolean {
    return Boolean(this.#options.secret) || this.#options.members !== undefined;
  }

  get peerConnection(): RTCPeerConnection | null {
    return this.#media?.pc ?? null;
  }

  get signalling(): SignallingWay | null {
    return this.#line?.way ?? null;
  }

  /** Resolves when the focus has let us in. */
  join(): Promise<void> {
    if (this.#state !== 'idle') throw new Error('a call is joined once');
    if (typeof RTCPeerConnection !== 'function') return Promise.reject(new CallError('no-webrtc', 'no RTCPeerConnection'));
    if (this.encrypting && !canEncrypt()) return Promise.reject(new CallError('cannot-encrypt', 'no RTCRtpScriptTransform'));
    this.#setState('joining');
    addEventListener('online', this.#networkChanged);
    const done = new Promise<void>((resolve, reject) => (this.#joining = { resolve, reject }));
    void this.#entrance.connect();
    return done;
  }

  leave(): void {
    this.#end(new CallError('left', 'we left'));
  }

  // --- publishing

  publish(source: Source, track: MediaStreamTrack | null, muted = false): void {
    const publication = this.#publications.publish(source, track, muted);
    if (!this.#isBare) this.#media?.publish(publication);
  }

  unpublish(source: Source): void {
    this.#publications.unpublish(source);
    this.#media?.unpublish(source);
  }

  publication(source: Source): Readonly<Publication> | undefined {
    return this.#publications.get(source);
  }

  /** Another device for a published source; `null` lets go of the device while it is muted. */
  async replaceTrack(source: Source, track: MediaStreamTrack | null): Promise<void> {
    this.#publications.replaceTrack(source, track);
    await this.#media?.replaceTrack(source, track);
  }

  setMuted(source: Source, muted: boolean): void {
    if (this.#publications.setMuted(source, muted)) this.#tellMuted(source);
  }

  // --- subscribing

  /** Asks for a video in this size, in device pixels. `null`: not wanted now. */
  want(track: string, wish: Wish | null): void {
    this.#receiving.want(track, wish);
  }

  encryptionState(track: string): EncryptionState | null {
    return this.#receiving.encryptionState(track);
  }

  // --- keys

  /** Sends under a new key from soon on. Happens by itself when somebody leaves. */
  rotateKey(): void {
    this.#keys?.rotate();
  }

  /** Moves the own key one step on (RFC 9605 §5.1); needs `ratchetBits`. */
  ratchetKey(): void {
    this.#keys?.ratchet();
  }

  /** Asks the focus to look after a delayed leave event (MSC4140). Answered by `delegated`, or by nothing. */
  delegateLeave(event: ClientBody<'delegate_leave'>): void {
    this.#line?.signalling.send('delegate_leave', event);
  }

  // --- statistics

  async stats(): Promise<(Reading & { readonly frames: { sealed: number; opened: number; dropped: number } }) | null> {
    const report = await this.#media?.pc.getStats();
    return report ? { ...read(report as unknown as Map<string, unknown>, performance.now()), frames: this.#counters } : null;
  }

  // --- sessions

  get #line(): Line | null {
    return this.#entrance.line;
  }

  #welcomed(welcome: ServerBody<'welcome'>): void {
    this.#participant = welcome.participant;
    if (!welcome.resumed) this.#startMedia();
    if (!this.#line?.isWide) return this.#linked(welcome);
    this.#entrance.entered();
    const isNew = this.#isBare;
    if (isNew) this.#fillMedia(welcome);
    this.#receiving.replace(welcome.participants);
    this.#keys?.announce();
    if (!isNew) {
      for (const source of this.#publications.sources()) this.#tellMuted(source);
      this.#media?.resumed();
    } else {
      this.#receiving.subscribeAll();
    }
    this.#refreshState();
    this.#joining?.resolve();
    this.#joining = null;
  }

  /** Who else is there, and all that we want, is for the data channel. */
  #linked({ resumed }: ServerBody<'welcome'>): void {
    const media = this.#media;
    if (!media) return;
    if (resumed) media.resumed();
    else media.begin();
    this.#line?.linked(media.path);
    this.#refreshState();
  }

  #startMedia(): void {
    this.#stopMedia();
    this.#isBare = true;
    const keys = new SessionKeys({ call: this.#options, clock: this.#clock, announce: (body) => void this.#line?.signalling.send('announce', body) });
    this.#keys = keys;
    this.#receiving.begin(keys);
    keys.encryption?.on('counters', (counters) => (this.#counters = counters));
    const media = new MediaSession({
      send: (t, b) => this.#line?.signalling.send(t, b) ?? null,
      encryption: keys.encryption,
      keyIndex: () => keys.keyIndex,
      codec: this.#options.codec ?? 'vp8',
      simulcast: this.#options.simulcast ?? true,
      iceServers: this.#options.iceServers ?? [],
    });
    this.#media = media;
    media.on('published', ({ source, muteChanged }) => (muteChanged ? this.#tellMuted(source) : undefined));
    media.on('failed', ({ error }) => this.emit('warning', { message: String(error) }));
    media.on('ice', () => this.#refreshState());
    media.on('path', () => this.#line?.checkPath());
    media.on('path-lost', () => this.#line?.leavePath('the path is lost'));
  }

  #fillMedia(welcome: ServerBody<'welcome'>): void {
    const media = this.#media;
    if (!media) return;
    this.#isBare = false;
    this.#receiving.open(media);
    for (const participant of welcome.participants) this.#keys?.setPeer(participant.id, participant.keys ?? []);
    for (const publication of this.#publications.all()) media.publish(publication);
    const tracks = welcome.participants.flatMap((participant) => participant.tracks);
    const audio = tracks.filter(({ kind }) => kind === 'audio').length;
    media.reserve(audio + 2, tracks.length - audio + 2);
  }

  #stopMedia(): void {
    this.#receiving.end();
    this.#media?.close();
    this.#media = null;
    this.#keys?.close();
    this.#keys = null;
  }

  #end(error: CallError): void {
    if (this.#state === 'ended') return;
    this.#setState('ended');
    removeEventListener('online', this.#networkChanged);
    this.#entrance.close();
    this.#stopMedia();
    this.#receiving.replace([]);
    this.#joining?.reject(error);
    this.#joining = null;
    this.emit('ended', { error });
  }

  readonly #networkChanged = (): void => {
    this.#line?.leavePath('the network changed');
    this.#line?.signalling.nudge();
    this.#media?.restartIce();
  };

  #refreshState(): void {
    const isUp = this.#line?.isWide === true;
    if (this.#state === 'ended' || (this.#state === 'joining' && !isUp)) return;
    const ice = this.#media?.pc.iceConnectionState;
    const broken = !isUp || ice === 'disconnected' || ice === 'failed';
    this.#setState(broken ? 'reconnecting' : 'joined');
  }

  #setState(state: CallState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.emit('state', state);
  }

  // --- messages

  #handle(message: Exclude<ServerMessage, { t: 'welcome' | 'pong' }>): void {
    switch (message.t) {
      case 'answer':
        return this.#media?.handleAnswer(message.b);
      case 'candidate':
        return this.#media?.handleCandidate(message.b.candidate);
      case 'participant':
        return this.#receiving.participant(message.b);
      case 'subscribed':
        for (const { track, paused, rid } of message.b.tracks) this.emit('paused', { track, paused: paused ?? null, rid: rid ?? null });
        return;
      case 'mute':
        return this.#receiving.mute(message.b);
      case 'speakers':
        return this.emit('speakers', message.b.speakers);
      case 'quality':
        this.emit('quality', message.b.participants);
        return this.#receiving.quality(message.b);
      case 'delegated':
        return this.emit('delegated', message.b);
      case 'move':
        return this.#entrance.move(message.b);
      case 'leave':
        return this.emit('warning', { message: message.b.reason ?? message.b.code });
      case 'error':
        return void this.#refused(message);
    }
  }

  async #refused({ re, b: { errcode, error, retry_after_ms } }: Extract<ServerMessage, { t: 'error' }>): Promise<void> {
    this.emit('warning', { message: `${errcode}: ${error}` });
    const wasOffer = await this.#media?.handleRefusal(re);
    if (retry_after_ms === undefined) return;
    // We do not keep what each message said; telling the whole state again covers all of them.
    this.#clock.after(retry_after_ms, () => {
      if (wasOffer) this.#media?.resumed();
      else this.#media?.retell();
      this.#keys?.announce();
      for (const source of this.#publications.sources()) this.#tellMuted(source);
    });
  }

  #tellMuted(source: Source): void {
    const id = this.#media?.publishedId(source);
    const publication = this.#publications.get(source);
    if (id && publication) this.#line?.signalling.send('mute', { track: id, muted: publication.muted });
  }
}
