// A call, as an application sees it: join, publish, say which videos are wanted at what size, listen to events, leave.
// Sessions, sockets and peer connections come and go underneath; what is published and wanted is kept across them.

import { Backoff } from './backoff.ts';
import { realClock, type Clock } from './clock.ts';
import type { CallView } from './call-view.ts';
import { EncryptionClient } from './e2ee/client.ts';
import { canEncrypt, type FrameEncryption } from './e2ee/link.ts';
import type { MemberEncryption } from './e2ee/member-client.ts';
import type { EncryptionState } from './e2ee/messages.ts';
import { Emitter } from './emitter.ts';
import type { VideoCodec } from './encodings.ts';
import { CallError, type CallErrorCode } from './errors.ts';
import { Line, type SignallingWay } from './line.ts';
import { MediaSession, type Publication } from './media.ts';
import { Publications } from './publications.ts';
import { Roster, type Change, type RemoteParticipant } from './roster.ts';
import { Rotation } from './rotation.ts';
import type { EndReason } from './signalling.ts';
import { read, type Reading } from './stats.ts';
import type { Wish } from './subscriptions.ts';
import type { Access, ByDevice } from './token.ts';
import type { ClientBody, Delegation, LeaveReason, Pause, ServerBody, ServerMessage, Source, Track } from './wire.ts';

export interface CallOptions {
  /** Gets the right to join. Called again for each fresh join; throw a {@link CallError} to say why there is none. */
  readonly token: () => Promise<Access | ByDevice>;
  /** The secret that the participants share. Without it nothing is encrypted end to end. */
  readonly secret?: string | null;
  /** Instead of a secret: members have keys of their own, found by the `identity` of participants. Nothing plays in clear. */
  readonly members?: MemberEncryption;
  /** Makes the encryption worker: `new Worker(url of "@rust-sfu/client/worker", { type: 'module' })`. Not asked for with `members`. */
  readonly worker: () => Worker;
  readonly codec?: VideoCodec;
  readonly simulcast?: boolean;
  readonly iceServers?: RTCIceServer[];
  /** How long a new key is announced before it is used. */
  readonly keyUseDelayMs?: number;
  /** `R` of RFC 9605 §5.1; all participants must agree. 0: keys are replaced, never ratcheted. */
  readonly ratchetBits?: number;
  /** For the statistics of the focus. */
  readonly client?: string;
}

export type CallState = 'idle' | 'joining' | 'joined' | 'reconnecting' | 'ended';

export interface CallEvents {
  state: CallState;
  'participant-joined': RemoteParticipant;
  'participant-updated': RemoteParticipant;
  'participant-left': { participant: RemoteParticipant; reason: LeaveReason };
  'track-added': { participant: RemoteParticipant; track: Track };
  'track-changed': { participant: RemoteParticipant; track: Track };
  'track-removed': { participant: RemoteParticipant; track: Track };
  /** Play this. It may carry something else after `media-ended`. */
  media: { participant: RemoteParticipant; track: Track; media: MediaStreamTrack };
  'media-ended': { track: string };
  /** Why a subscribed track shows nothing just now; `null`: it flows. */
  paused: { track: string; paused: Pause | null; rid: string | null };
  speakers: readonly { participant: string; level: number }[];
  encryption: { participant: string; track: string; state: EncryptionState };
  /** Our own connection as the focus sees it comes with the others, under our own id. */
  quality: ServerBody<'quality'>['participants'];
  /** What became of a delayed leave event that the focus was asked to look after. */
  delegated: { state: Delegation };
  warning: { message: string };
  ended: { error: CallError };
}

const REJOIN_MS = 5 * 60_000;
const DEFAULT_KEY_USE_DELAY_MS = 1000;

export class Call extends Emitter<CallEvents> implements CallView {
  readonly #options: CallOptions;
  readonly #clock: Clock = realClock;
  readonly #roster = new Roster();
  readonly #publications = new Publications();
  /** Wanted videos; audio is always wanted. */
  readonly #wishes = new Map<string, Wish>();
  readonly #subscribed = new Set<string>();
  readonly #encryptionStates = new Map<string, EncryptionState>();
  #state: CallState = 'idle';
  #participant: string | null = null;
  #line: Line | null = null;
  /** By this we were in the call last. An address that did not answer then would cost seconds again. */
  #proven: ByDevice | null = null;
  #media: MediaSession | null = null;
  /** The peer connection holds a data channel and nothing else yet. */
  #isBare = false;
  #encryption: FrameEncryption | null = null;
  /** The same when the keys come from a shared secret. */
  #shared: EncryptionClient | null = null;
  #stopMembers: (() => void) | null = null;
  #rotation: Rotation | null = null;
  #joining: { resolve: () => void; reject: (error: CallError) => void } | null = null;
  #rejoinBackoff: Backoff | null = null;
  #rejoinDeadline = 0;
  #cancelMove: (() => void) | null = null;
  #counters = { sealed: 0, opened: 0, dropped: 0 };

  constructor(options: CallOptions) {
    super();
    this.#options = options;
  }

  get state(): CallState {
    return this.#state;
  }

  /** Our own participant id, once joined. */
  get participantId(): string | null {
    return this.#participant;
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#roster.participants;
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
    void this.#connect();
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
    if (wish) {
      this.#wishes.set(track, wish);
      this.#subscribe(track);
    } else {
      this.#wishes.delete(track);
      this.#unsubscribe(track, false);
    }
  }

  encryptionState(track: string): EncryptionState | null {
    return this.#encryptionStates.get(track) ?? null;
  }

  // --- keys

  /** Sends under a new key from soon on. Happens by itself when somebody leaves. */
  rotateKey(): void {
    this.#rotation?.rotate();
  }

  /** Moves the own key one step on (RFC 9605 §5.1); needs `ratchetBits`. */
  ratchetKey(): void {
    this.#shared?.ratchet();
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

  async #connect(movedTo?: string): Promise<void> {
    let access: Access | ByDevice;
    if (this.#proven) return this.#enter(this.#proven);
    try {
      access = await this.#options.token();
    } catch (error) {
      const known = error instanceof CallError ? error : new CallError('unreachable', String(error));
      this.#joinFailed(known);
      return;
    }
    if (this.#state !== 'ended') this.#enter(access, movedTo);
  }

  #enter(access: Access | ByDevice, movedTo?: string): void {
    const line = new Line({
      access,
      movedTo,
      client: this.#options.client ?? 'sfu-web/0.1',
      clock: this.#clock,
      failed: (detail) => (this.#joining ? this.#end(new CallError('unreachable', detail)) : line.signalling.lose(detail)),
    });
    this.#line = line;
    const { signalling } = line;
    signalling.on('welcome', (welcome) => this.#welcomed(welcome));
    signalling.on('message', (message) => this.#handle(message));
    signalling.on('interrupted', () => this.#refreshState());
    signalling.on('ended', ({ reason, detail }) => {
      if (line === this.#line) this.#sessionEnded(reason, detail, line);
    });
    signalling.start();
  }

  #welcomed(welcome: ServerBody<'welcome'>): void {
    this.#participant = welcome.participant;
    if (!welcome.resumed) this.#startMedia();
    if (!this.#line?.isWide) return this.#linked(welcome);
    this.#line.widened();
    this.#proven = this.#line.device;
    this.#rejoinBackoff = null;
    const isNew = this.#isBare;
    if (isNew) this.#fillMedia(welcome);
    this.#applyAll(this.#roster.replace(welcome.participants));
    this.#announce();
    if (!isNew) {
      for (const source of this.#publications.sources()) this.#tellMuted(source);
      this.#media?.resumed();
    } else {
      // Known tracks keep their place on the page, but come over the new connection.
      for (const participant of this.#roster.participants.values()) for (const track of participant.tracks.keys()) this.#subscribe(track);
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
    const { members } = this.#options;
    const encryption = members?.connection() ?? this.#sharedEncryption();
    this.#encryption = encryption;
    encryption?.on('state', ({ slot, track, state }) => this.#encryptionChanged(slot, track, state));
    encryption?.on('counters', (counters) => (this.#counters = counters));
    this.#stopMembers = members?.on('key-in-use', () => this.#announce()) ?? null;
    const media = new MediaSession({
      send: (t, b) => this.#line?.signalling.send(t, b) ?? null,
      encryption,
      keyIndex: () => this.#keyIndex(),
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
    for (const participant of welcome.participants) this.#shared?.setPeerKeys(participant.id, participant.keys ?? []);
    for (const publication of this.#publications.all()) media.publish(publication);
    const tracks = welcome.participants.flatMap((participant) => participant.tracks);
    const audio = tracks.filter(({ kind }) => kind === 'audio').length;
    media.reserve(audio + 2, tracks.length - audio + 2);
  }

  #sharedEncryption(): EncryptionClient | null {
    if (!canEncrypt()) return null;
    const encryption = new EncryptionClient(this.#options.worker(), this.#options.secret || null, this.#options.ratchetBits ?? 0);
    this.#shared = encryption;
    if (!this.encrypting) return encryption;
    this.#rotation = new Rotation({
      clock: this.#clock,
      useDelayMs: this.#options.keyUseDelayMs ?? DEFAULT_KEY_USE_DELAY_MS,
      newKey: () => encryption.newKey(),
      announced: () => encryption.announced(),
      useKey: (index) => encryption.useKey(index),
      announce: (keys, key_index) => this.#line?.signalling.send('announce', { keys, key_index }),
    });
    encryption.on('key-in-use', ({ index }) => this.#rotation?.inUse(index));
    return encryption;
  }

  /** `null`: we send unencrypted. */
  #keyIndex(): number | null {
    return this.#options.members?.keyIndex ?? this.#rotation?.keyIndex ?? null;
  }

  /** Member keys go to the members; the focus hears only which one is in use. */
  #announce(): void {
    const { members } = this.#options;
    if (members) this.#line?.signalling.send('announce', { keys: [], key_index: members.keyIndex });
    else this.#rotation?.announce();
  }

  #stopMedia(): void {
    for (const track of [...this.#subscribed]) {
      this.#subscribed.delete(track);
      this.#encryptionStates.delete(track);
      this.emit('media-ended', { track });
    }
    this.#rotation?.close();
    this.#rotation = null;
    this.#media?.close();
    this.#media = null;
    this.#stopMembers?.();
    this.#encryption?.close();
    this.#encryption = this.#shared = null;
  }

  #sessionEnded(reason: EndReason, detail: string, { otherwise }: Line): void {
    if (reason === 'unreachable') this.#proven = null;
    if (reason === 'unreachable' && otherwise) return this.#enter(otherwise);
    // Without a token, this is where we are told.
    if (reason === 'removed' && this.#joining) return this.#end(new CallError('token-refused', detail));
    if (reason === 'session-lost') return this.#rejoin(detail);
    // The token may have run out while the socket was tried again, or be one of a focus that was replaced meanwhile.
    if ((reason === 'unreachable' || reason === 'token-refused') && !this.#joining) return this.#rejoin(detail);
    const codes: Record<Exclude<EndReason, 'session-lost'>, CallErrorCode> = {
      left: 'removed',
      'token-refused': 'token-refused',
      removed: 'removed',
      replaced: 'replaced',
      protocol: 'protocol',
      unreachable: 'unreachable',
    };
    this.#end(new CallError(codes[reason], detail));
  }

  /** A token for a fresh join was not to be had. */
  #joinFailed(error: CallError): void {
    if (this.#joining || error.code !== 'unreachable') this.#end(error);
    else this.#rejoin(error.message);
  }

  #rejoin(detail: string): void {
    if (this.#state === 'ended') return;
    this.#setState('reconnecting');
    const now = this.#clock.now();
    if (!this.#rejoinBackoff) {
      this.#rejoinBackoff = new Backoff(() => this.#clock.random());
      this.#rejoinDeadline = now + REJOIN_MS;
    }
    const wait = this.#rejoinBackoff.next();
    if (now + wait > this.#rejoinDeadline) this.#end(new CallError('unreachable', detail));
    else this.#clock.after(wait, () => void (this.#state === 'ended' ? undefined : this.#connect()));
  }

  /** The focus drains. A fresh join, because the process that follows knows nothing of this session. */
  #move({ url, after_ms }: ServerBody<'move'>): void {
    this.#cancelMove?.();
    this.#cancelMove = this.#clock.after(after_ms, () => {
      this.#cancelMove = null;
      this.#setState('reconnecting');
      const old = this.#line;
      this.#line = null;
      old?.leave('moved');
      void this.#connect(url);
    });
  }

  #end(error: CallError): void {
    if (this.#state === 'ended') return;
    this.#setState('ended');
    removeEventListener('online', this.#networkChanged);
    this.#cancelMove?.();
    const line = this.#line;
    this.#line = null;
    line?.leave();
    this.#stopMedia();
    this.#applyAll(this.#roster.replace([]));
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
        return this.#applyAll(this.#roster.apply(message.b));
      case 'subscribed':
        for (const { track, paused, rid } of message.b.tracks) this.emit('paused', { track, paused: paused ?? null, rid: rid ?? null });
        return;
      case 'mute':
        return this.#applyAll(this.#roster.mute(message.b.track, message.b.muted));
      case 'speakers':
        return this.emit('speakers', message.b.speakers);
      case 'quality':
        this.emit('quality', message.b.participants);
        return this.#applyAll(message.b.participants.flatMap(({ participant, score }) => this.#roster.quality(participant, score)));
      case 'delegated':
        return this.emit('delegated', message.b);
      case 'move':
        return this.#move(message.b);
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
      this.#announce();
      for (const source of this.#publications.sources()) this.#tellMuted(source);
    });
  }

  #applyAll(changes: readonly Change[]): void {
    for (const change of changes) this.#apply(change);
  }

  #apply(change: Change): void {
    const { participant } = change;
    switch (change.what) {
      case 'joined':
      case 'updated':
        // Keys before tracks: the first frame may be on its way.
        this.#shared?.setPeerKeys(participant.id, participant.keys);
        return this.emit(`participant-${change.what}`, participant);
      case 'left':
        this.#shared?.removePeer(participant.id);
        if (this.#state !== 'ended') this.#rotation?.rotate();
        return this.emit('participant-left', { participant, reason: change.reason });
      case 'track-added':
        this.emit('track-added', { participant, track: change.track });
        return this.#subscribe(change.track.track);
      case 'track-changed':
        this.#subscribe(change.track.track);
        return this.emit('track-changed', { participant, track: change.track });
      case 'track-removed':
        this.#wishes.delete(change.track.track);
        this.#unsubscribe(change.track.track, true);
        return this.emit('track-removed', { participant, track: change.track });
    }
  }

  #subscribe(id: string): void {
    const found = this.#roster.ownerOf(id);
    const media = this.#isBare ? null : this.#media;
    if (!found || !media) return;
    const { participant, track } = found;
    const wish = track.kind === 'audio' ? {} : this.#wishes.get(id);
    if (!wish) return;
    if (!this.#encryption && track.enc) {
      // Without transforms an encrypted track cannot even be told from noise.
      this.emit('encryption', { participant: participant.id, track: id, state: 'missing-key' });
      return;
    }
    if (this.#options.members && !track.enc) {
      // A focus could say anything in the name of a member, if it need not be sealed.
      this.emit('encryption', { participant: participant.id, track: id, state: 'off' });
      return;
    }
    const owner = this.#options.members ? (participant.identity ?? '') : participant.id;
    const slot = media.subscribe(track, owner, wish);
    if (this.#subscribed.has(id)) return;
    this.#subscribed.add(id);
    this.emit('media', { participant, track, media: slot.media.receiver.track });
    if (!this.#encryption) this.emit('encryption', { participant: participant.id, track: id, state: 'off' });
  }

  #unsubscribe(id: string, ended: boolean): void {
    if (!this.#subscribed.delete(id)) return;
    this.#media?.unsubscribe(id, ended);
    this.#encryptionStates.delete(id);
    this.emit('media-ended', { track: id });
  }

  #encryptionChanged(slot: string, track: string, state: EncryptionState): void {
    const found = this.#roster.ownerOf(track);
    if (!found || this.#media?.trackOfSlot(slot) !== track) return;
    const before = this.#encryptionStates.get(track);
    this.#encryptionStates.set(track, state);
    // The decoder was fed nothing for a while; it can only go on from a key frame.
    if (state === 'ok' && before !== undefined && found.track.kind === 'video') this.#line?.signalling.send('keyframe', { track });
    this.emit('encryption', { participant: found.participant.id, track, state });
  }

  #tellMuted(source: Source): void {
    const id = this.#media?.publishedId(source);
    const publication = this.#publications.get(source);
    if (id && publication) this.#line?.signalling.send('mute', { track: id, muted: publication.muted });
  }
}
