// A call in a Matrix room, as a page sees it: one call, whatever the ways it goes over. Memberships say who is there and
// where, Olm brings the keys, connections bring the media.

import type { CallEvents, CallState } from '../call.ts';
import type { CallView } from '../call-view.ts';
import type { Counters } from '../e2ee/link.ts';
import { canEncrypt } from '../e2ee/link.ts';
import { MemberKeysClient } from '../e2ee/member-client.ts';
import { Emitter } from '../emitter.ts';
import type { VideoCodec } from '../encodings.ts';
import { CallError } from '../errors.ts';
import type { SignallingWay } from '../line.ts';
import type { Publication } from '../media.ts';
import { Publications } from '../publications.ts';
import type { RemoteParticipant } from '../roster.ts';
import type { Reading } from '../stats.ts';
import type { Wish } from '../subscriptions.ts';
import type { Source } from '../wire.ts';
import { CallKeys } from './call-keys.ts';
import { Connections } from './connections.ts';
import { Directory } from './directory.ts';
import { encodeBase64 } from './identity.ts';
import type { Profile } from './legacy-member.ts';
import type { MemberFormat } from './member-format.ts';
import { keyOf, type Membership } from './membership.ts';
import { OwnHand } from './own-hand.ts';
import { OwnMember } from './own-member.ts';
import type { RoomSession } from './room-session.ts';
import type { Transport } from './transport.ts';
import type { Reach } from './ways.ts';

export interface MatrixCallOptions {
  readonly session: RoomSession;
  readonly transports: readonly Transport[];
  readonly worker: () => Worker;
  readonly codec: VideoCodec;
  readonly simulcast: boolean;
  readonly iceServers?: RTCIceServer[];
  /** Whether we offer to connect directly. */
  readonly mesh: boolean;
  /** Whether our focus shall restart the last will for us. */
  readonly delegate: boolean;
  readonly intent: string;
  readonly format: MemberFormat;
  /** For whom our member event is written. */
  readonly profile: Profile;
  /** The delayed leave that the homeserver holds for us now: whoever comes back without this object has it to cancel. */
  readonly willChanged?: (delayId: string | null) => void;
  /** Of the page before this one: it ends once there is a new one. */
  readonly formerWill?: string | null;
}

export interface MatrixCallEvents extends CallEvents {
  /** Who is reached how. */
  reach: undefined;
}

const MEMBER_ID_BYTES = 12;
const FORWARDED = ['participant-joined', 'participant-updated', 'participant-left', 'track-added', 'track-changed', 'track-removed', 'media', 'media-ended', 'paused', 'speakers', 'encryption', 'quality', 'warning', 'reach'] as const;

export class MatrixCall extends Emitter<MatrixCallEvents> implements CallView {
  readonly #options: MatrixCallOptions;
  readonly #session: RoomSession;
  readonly #memberId = randomId();
  readonly #own: OwnMember;
  readonly #hand: OwnHand;
  readonly #publications = new Publications();
  readonly #encryption: MemberKeysClient;
  readonly #keys: CallKeys;
  readonly #directory: Directory;
  readonly #connections: Connections;
  readonly #stops: (() => void)[] = [];
  #state: CallState = 'idle';
  #updating: Promise<void> = Promise.resolve();
  #counters: Counters = { sealed: 0, opened: 0, dropped: 0 };

  constructor(options: MatrixCallOptions) {
    super();
    const { session, intent, format, profile, worker, delegate } = options;
    const { homeserver, room, slot, clock, wallClock } = session.options;
    const common = { memberId: this.#memberId, session: session.options };
    this.#options = options;
    this.#session = session;
    this.#own = new OwnMember({ homeserver, clock, room, slot, memberId: this.#memberId, intent, format, profile, wallClock, willChanged: (delayId) => options.willChanged?.(delayId) });
    this.#hand = new OwnHand({ set: (memberEvent, up) => session.setHand(memberEvent, up) });
    this.#directory = new Directory(clock, () => this.#update());
    this.#encryption = new MemberKeysClient(worker());
    this.#keys = new CallKeys({ ...common, worker: this.#encryption, failed: (message) => this.emit('warning', { message }) });
    this.#connections = new Connections({ ...options, ...common, directory: this.#directory, encryption: this.#encryption, publications: this.#publications, will: delegate ? this.#own.will : null, newSession: randomId });
  }

  // --- as a page sees it

  get state(): CallState {
    return this.#state;
  }

  get participantId(): string | null {
    return this.#connections.ownFocus?.call.participantId ?? null;
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#connections.participants;
  }

  get encrypting(): boolean {
    return true;
  }

  get signalling(): SignallingWay | null {
    return this.#connections.ownFocus?.call.signalling ?? null;
  }

  /** The event that says that we are in the call. */
  get memberEvent(): string | null {
    return this.#own.eventId;
  }

  get memberId(): string {
    return this.#memberId;
  }

  /** Whether media go from browser to browser now. */
  get direct(): boolean {
    return this.#connections.direct;
  }

  /** How a participant of ours is reached; `null`: it is nobody whom we know. */
  reachOf(id: string): Reach | null {
    return this.#connections.reachOf(id);
  }

  memberOf(id: string): Membership | null {
    return this.others().find((member) => keyOf(member) === id) ?? null;
  }

  others(): Membership[] {
    const { user, device } = this.#session.options.homeserver;
    return this.#session.members.filter((member) => member.user !== user || member.device !== device);
  }

  async join(): Promise<void> {
    if (this.#state !== 'idle') throw new Error('a call is joined once');
    if (!canEncrypt()) throw this.#end(new CallError('cannot-encrypt', 'no RTCRtpScriptTransform'));
    this.#setState('joining');
    const wasEmpty = this.others().length === 0;
    this.#listen();
    try {
      await this.#own.join(this.#ownTransports());
      if (this.#options.formerWill) this.#own.endFormer(this.#options.formerWill);
    } catch (error) {
      throw this.#end(error instanceof CallError ? error : new CallError('unreachable', String(error)));
    }
    this.#stops.push(this.#session.on('changed', () => this.#update()));
    addEventListener('pagehide', this.#pageHidden);
    this.#update();
    await this.#updating;
    if (wasEmpty && this.others().length === 0 && this.#own.eventId !== null) void this.#session.callOthers(this.#own.eventId, this.#options.intent).catch(() => undefined);
  }

  leave(): void {
    this.#end(new CallError('left', 'we left'));
  }

  /** After the leave, before another call of the same device in the room begins. */
  forget(): void {
    this.#own.forget();
  }

  async setHand(up: boolean): Promise<void> {
    if (this.#own.eventId !== null) await this.#hand.raise(this.#own.eventId, up);
  }

  async react(emoji: string, name: string): Promise<void> {
    if (this.#own.eventId !== null) await this.#session.react(this.#own.eventId, emoji, name);
  }

  // --- our media

  publish(source: Source, track: MediaStreamTrack | null, muted = false): void {
    this.#publications.publish(source, track, muted);
    for (const target of this.#connections.targets()) target.publish(source, track, muted);
  }

  unpublish(source: Source): void {
    this.#publications.unpublish(source);
    for (const target of this.#connections.targets()) target.unpublish(source);
  }

  publication(source: Source): Readonly<Publication> | undefined {
    return this.#publications.get(source);
  }

  async replaceTrack(source: Source, track: MediaStreamTrack | null): Promise<void> {
    this.#publications.replaceTrack(source, track);
    await Promise.all(this.#connections.targets().map((target) => target.replaceTrack(source, track)));
  }

  setMuted(source: Source, muted: boolean): void {
    if (!this.#publications.setMuted(source, muted)) return;
    for (const target of this.#connections.targets()) target.setMuted(source, muted);
  }

  want(track: string, wish: Wish | null): void {
    this.#connections.want(track, wish);
  }

  async stats(): Promise<(Reading & { readonly frames: Counters }) | null> {
    const reading = await this.#connections.stats();
    return reading ? { ...reading, frames: this.#counters } : null;
  }

  // --- what comes in

  #ownTransports(): Transport[] {
    const mesh: Transport[] = this.#options.mesh ? [{ kind: 'full_mesh', json: { type: 'full_mesh' } }] : [];
    return [...this.#options.transports.filter(({ kind }) => kind === 'rust_sfu'), ...mesh];
  }

  #listen(): void {
    const connections = this.#connections;
    for (const type of FORWARDED) connections.on(type, (event) => this.emit(type, event as never));
    connections.on('encryption', ({ participant }) => this.#checkLacking(participant));
    connections.on('track-removed', ({ participant: { id } }) => this.#checkLacking(id));
    connections.on('state', () => this.#refreshState());
    connections.on('again', () => this.#update());
    connections.on('left-focus', () => (this.#state === 'ended' ? undefined : void this.#own.will.takeBack()));
    connections.on('failed', (error) => this.#end(error));
    this.#encryption.on('counters', (counters) => (this.#counters = counters));
    this.#stops.push(this.#session.options.homeserver.onToDevice((message) => connections.handle(message)));
  }

  /** One after the other: identities are hashed in the background, and an older picture must not come last. */
  #update(): void {
    this.#updating = this.#updating.then(() => (this.#state === 'ended' ? undefined : this.#updateNow())).catch((error: unknown) => this.emit('warning', { message: String(error) }));
  }

  async #updateNow(): Promise<void> {
    const { homeserver, room } = this.#session.options;
    const everybody = this.#session.members;
    const others = this.others();
    const own = everybody.find(({ user, device }) => user === homeserver.user && device === homeserver.device) ?? null;
    const isOurs = own?.memberId === this.#memberId;
    this.#own.seen(own && { eventId: own.eventId, isOurs, sentAt: own.sentAt }, room, others);
    if (isOurs && own) void this.#hand.follow(own.eventId).catch(() => undefined);
    await this.#directory.setMembers(others);
    await this.#keys.setMembers(others);
    // We may have left meanwhile: nothing must be opened any more.
    if (this.#state === 'ended') return;
    const names = new Map(others.map((member) => [keyOf(member), room.displayName(member.user)]));
    this.#connections.update({ own: isOurs ? own : null, others, everybody, lastLeftAt: this.#session.lastLeftAt }, names);
    this.#refreshState();
  }

  /** Who sends what we cannot open is asked for the key. */
  #checkLacking(participant: string): void {
    const member = this.memberOf(participant);
    const states = this.#connections.encryptionStates(participant);
    if (member) this.#keys.lacking(member, states.some((state) => state === 'missing-key' || state === 'failed'));
  }

  // --- state

  #refreshState(): void {
    if (this.#state === 'ended' || this.#state === 'idle') return;
    const state = this.#connections.ownFocus?.call.state;
    if (state === undefined) this.#setState(this.#own.eventId === null ? 'joining' : 'joined');
    else this.#setState(state === 'idle' || state === 'ended' ? 'joining' : state);
  }

  readonly #pageHidden = (): void => this.leave();

  #end(error: CallError): CallError {
    if (this.#state === 'ended') return error;
    this.#setState('ended');
    removeEventListener('pagehide', this.#pageHidden);
    for (const stop of this.#stops) stop();
    void this.#own.leave(this.#session.options.room);
    this.#keys.close();
    this.#connections.close();
    this.#encryption.close();
    this.emit('ended', { error });
    return error;
  }

  #setState(state: CallState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.emit('state', state);
  }
}

function randomId(): string {
  return encodeBase64(crypto.getRandomValues(new Uint8Array(MEMBER_ID_BYTES))).replaceAll('/', '_').replaceAll('+', '-');
}
