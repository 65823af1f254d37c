// A call in a Matrix room, as a page sees it: one call, whatever the ways it goes over. Memberships say who is there and
// where, Olm brings the keys, and a `Call` for each focus (or a direct connection) brings the media.

import { Call, type CallEvents, type CallState } from '../call.ts';
import type { CallView, PublishView } from '../call-view.ts';
import type { Counters } from '../e2ee/link.ts';
import { canEncrypt } from '../e2ee/link.ts';
import { MemberKeysClient } from '../e2ee/member-client.ts';
import { Emitter } from '../emitter.ts';
import type { VideoCodec } from '../encodings.ts';
import { CallError } from '../errors.ts';
import type { Publication } from '../media.ts';
import type { RemoteParticipant } from '../roster.ts';
import type { Reading } from '../stats.ts';
import type { Wish } from '../subscriptions.ts';
import type { Source } from '../wire.ts';
import { getAccess } from './access.ts';
import { CallKeys } from './call-keys.ts';
import { delegate } from './delegation.ts';
import { Directory } from './directory.ts';
import { encodeBase64 } from './identity.ts';
import { keyOf, LEGACY_TYPE, type Membership } from './membership.ts';
import { Merge } from './merge.ts';
import { Mesh } from './mesh.ts';
import { MeshPeer } from './mesh-peer.ts';
import { OwnMember } from './own-member.ts';
import { plays } from './plays.ts';
import type { RoomSession } from './room-session.ts';
import { isSameFocus, type RustSfu, type Transport } from './transport.ts';
import { distinctFoci, nameOf, reach, topology, type Reach } from './ways.ts';

export interface MatrixCallOptions {
  readonly session: RoomSession;
  readonly roomVersion: string;
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
}

export interface MatrixCallEvents extends CallEvents {
  /** Who is reached how. */
  reach: undefined;
}

const MEMBER_ID_BYTES = 12;

interface Focus {
  readonly name: string;
  readonly transport: RustSfu;
  readonly call: Call;
  readonly isOwn: boolean;
  error: CallError | null;
  /** Ends the delegation of the last will. */
  stop: (() => void) | null;
}

export class MatrixCall extends Emitter<MatrixCallEvents> implements CallView {
  readonly #options: MatrixCallOptions;
  readonly #session: RoomSession;
  readonly #memberId = randomId();
  readonly #own: OwnMember;
  readonly #merge: Merge;
  readonly #publications = new Map<Source, Publication>();
  readonly #foci = new Map<string, Focus>();
  readonly #reach = new Map<string, Reach>();
  readonly #stops: (() => void)[] = [];
  readonly #directory: Directory;
  #encryption: MemberKeysClient | null = null;
  #keys: CallKeys | null = null;
  #mesh: Mesh | null = null;
  /** The member whom we cannot connect to directly. */
  #meshFailed: string | null = null;
  #cancelTopology: () => void = () => undefined;
  #state: CallState = 'idle';
  #updating: Promise<void> = Promise.resolve();
  #counters: Counters = { sealed: 0, opened: 0, dropped: 0 };

  constructor(options: MatrixCallOptions) {
    super();
    this.#options = options;
    this.#session = options.session;
    const { homeserver, room, slot, clock, wallClock } = options.session.options;
    this.#own = new OwnMember({ homeserver, clock, room: room.id, roomVersion: options.roomVersion, slot, memberId: this.#memberId, intent: options.intent, wallClock });
    this.#directory = new Directory(clock, () => this.#update());
    this.#merge = new Merge((participant) => this.#resolve(participant), plays);
    const forward = ['participant-joined', 'participant-updated', 'participant-left', 'track-added', 'track-changed', 'track-removed', 'media', 'media-ended', 'paused', 'speakers', 'encryption', 'warning'] as const;
    for (const type of forward) this.#merge.on(type, (event) => this.emit(type, event as never));
    this.#merge.on('encryption', () => this.#checkChangedOver());
    this.#merge.on('changed-over', () => this.#checkChangedOver());
  }

  // --- as a page sees it

  get state(): CallState {
    return this.#state;
  }

  get participantId(): string | null {
    return this.#ownFocus?.call.participantId ?? null;
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#merge.participants;
  }

  get encrypting(): boolean {
    return true;
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
    return this.#mesh?.connected ?? false;
  }

  /** How a participant of ours is reached; `null`: it is nobody whom we know. */
  reachOf(id: string): Reach | null {
    return this.#reach.get(id) ?? null;
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
    this.#startKeys();
    this.#startMesh();
    try {
      await this.#own.join(this.#ownTransports());
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

  async setHand(up: boolean): Promise<void> {
    if (this.#own.eventId !== null) await this.#session.setHand(this.#own.eventId, up);
  }

  async react(emoji: string, name: string): Promise<void> {
    if (this.#own.eventId !== null) await this.#session.react(this.#own.eventId, emoji, name);
  }

  // --- our media

  publish(source: Source, track: MediaStreamTrack | null, muted = false): void {
    if (track) track.enabled = !muted;
    this.#publications.set(source, { source, track, muted });
    for (const target of this.#targets()) target.publish(source, track, muted);
  }

  unpublish(source: Source): void {
    this.#publications.delete(source);
    for (const target of this.#targets()) target.unpublish(source);
  }

  publication(source: Source): Readonly<Publication> | undefined {
    return this.#publications.get(source);
  }

  async replaceTrack(source: Source, track: MediaStreamTrack | null): Promise<void> {
    const publication = this.#publications.get(source);
    if (!publication) throw new Error(`${source} is not published`);
    publication.track = track;
    if (track) track.enabled = !publication.muted;
    await Promise.all(this.#targets().map((target) => target.replaceTrack(source, track)));
  }

  setMuted(source: Source, muted: boolean): void {
    const publication = this.#publications.get(source);
    if (!publication) return;
    publication.muted = muted;
    if (publication.track) publication.track.enabled = !muted;
    for (const target of this.#targets()) target.setMuted(source, muted);
  }

  want(track: string, wish: Wish | null): void {
    this.#merge.want(track, wish);
  }

  async stats(): Promise<(Reading & { readonly frames: Counters }) | null> {
    const first = this.#ownFocus?.call ?? this.#foci.values().next().value?.call;
    const reading = await first?.stats();
    return reading ? { ...reading, frames: this.#counters } : null;
  }

  #startKeys(): void {
    const { homeserver } = this.#session.options;
    const worker = new MemberKeysClient(this.#options.worker());
    this.#encryption = worker;
    worker.on('counters', (counters) => (this.#counters = counters));
    this.#keys = new CallKeys({ session: this.#session.options, memberId: this.#memberId, worker, failed: (message) => this.emit('warning', { message }) });
    this.#stops.push(homeserver.onToDevice((message) => this.#mesh?.handle(message)));
  }

  // --- ways

  #ownTransports(): Transport[] {
    const mesh: Transport[] = this.#options.mesh ? [{ kind: 'full_mesh', json: { type: 'full_mesh' } }] : [];
    return [...this.#options.transports.filter(({ kind }) => kind === 'rust_sfu'), ...mesh];
  }

  get #ownFocus(): Focus | undefined {
    return [...this.#foci.values()].find(({ isOwn }) => isOwn);
  }

  #targets(): PublishView[] {
    const focus = this.#ownFocus;
    return [...(focus ? [focus.call] : []), ...(this.#mesh?.peer ? [this.#mesh.peer] : [])];
  }

  #startMesh(): void {
    const { homeserver, room, slot } = this.#session.options;
    const encryption = this.#encryption;
    if (!this.#options.mesh || !encryption) return;
    const mesh = new Mesh({
      homeserver,
      room: room.id,
      slot,
      own: { user: homeserver.user, device: homeserver.device, memberId: this.#memberId },
      newSession: randomId,
      newPeer: (member, offers, send) =>
        new MeshPeer({ offers, send, identity: this.#directory.identityOf(member), name: member.user, encryption: encryption.connection(), codec: this.#options.codec, iceServers: this.#options.iceServers ?? [] }),
    });
    this.#mesh = mesh;
    mesh.on('opened', ({ peer }) => {
      this.#merge.add('mesh', peer);
      for (const { source, track, muted } of this.#publications.values()) peer.publish(source, track, muted);
    });
    mesh.on('closed', () => this.#merge.remove('mesh'));
    mesh.on('connected', () => {
      this.#refreshState();
      this.emit('reach', undefined);
    });
    mesh.on('settled', () => this.#update());
    mesh.on('failed', ({ member }) => {
      this.#meshFailed = keyOf(member);
      this.#update();
    });
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
    const overwritten = room.state(LEGACY_TYPE).some(({ stateKey, sender }) => stateKey === this.#own.stateKey && sender !== homeserver.user);
    this.#own.seen(overwritten ? null : own && { eventId: own.eventId, isOurs: own.memberId === this.#memberId, sentAt: own.sentAt });
    await this.#directory.setMembers(others);
    await this.#keys?.setMembers(others);
    if (others.length > 0) this.#session.answered();
    const way = this.#decide(own, others);
    this.#reach.clear();
    for (const member of others) this.#reach.set(keyOf(member), reach(member, everybody, way === 'mesh'));
    this.#connect(way);
    this.#merge.setMembers(new Map(others.map((member) => [keyOf(member), room.displayName(member.user)])));
    this.#refreshState();
    this.#checkChangedOver();
    this.emit('reach', undefined);
  }

  /** Whether it goes directly now, by the rule that all follow. */
  #decide(own: Membership | null, others: readonly Membership[]): 'alone' | 'mesh' | 'focus' {
    const mesh = this.#mesh;
    const { clock, wallClock } = this.#session.options;
    this.#cancelTopology();
    if (others.length === 0) mesh?.close();
    const [other] = others;
    if (!mesh || !own || !other) return others.length === 0 ? 'alone' : 'focus';
    const now = wallClock();
    const decided = topology(this.#session.members, this.#session.lastLeftAt, now);
    if (decided.is === 'focus' && decided.until !== null) this.#cancelTopology = clock.after(decided.until - now, () => this.#update());
    if (decided.is !== 'mesh' || this.#meshFailed === keyOf(other)) return 'focus';
    mesh.open(other);
    return 'mesh';
  }

  #connect(way: 'alone' | 'mesh' | 'focus'): void {
    const ownFocus = this.#options.transports.find((transport): transport is RustSfu => transport.kind === 'rust_sfu' && transport.url !== null);
    const wanted = [...this.#reach.values()].flatMap((reached) => (reached.by === 'focus' ? [reached.focus] : []));
    // Alone we stay with what we have: the first to come may connect directly. After that the focus is left once both are settled.
    const isOpen = this.#ownFocus !== undefined;
    const needsOwn = way === 'focus' || (way === 'alone' ? !this.#options.mesh || isOpen : isOpen && !this.#mesh?.isSettled);
    const foci = distinctFoci([...(ownFocus && needsOwn ? [ownFocus] : []), ...wanted]);
    for (const focus of [...this.#foci.values()]) {
      if (!foci.some((transport) => isSameFocus(transport, focus.transport))) this.#disconnect(focus);
    }
    for (const transport of foci) {
      const known = [...this.#foci.values()].some((focus) => isSameFocus(transport, focus.transport));
      if (!known) this.#open(transport, ownFocus !== undefined && isSameFocus(transport, ownFocus));
    }
    if (way === 'focus' && this.#mesh?.peer) this.#mesh.grow();
  }

  #open(transport: RustSfu, isOwn: boolean): void {
    const { homeserver, room, slot } = this.#session.options;
    const encryption = this.#encryption;
    if (!encryption) return;
    const call = new Call({
      token: () => getAccess({ homeserver, room: room.id, slot, memberId: this.#memberId, focus: transport }),
      members: encryption,
      worker: () => {
        throw new Error('member keys bring their own worker');
      },
      codec: this.#options.codec,
      simulcast: this.#options.simulcast,
      ...(this.#options.iceServers ? { iceServers: this.#options.iceServers } : {}),
    });
    const focus: Focus = { name: nameOf(transport), transport, call, isOwn, error: null, stop: null };
    this.#foci.set(focus.name, focus);
    if (isOwn) {
      for (const { source, track, muted } of this.#publications.values()) call.publish(source, track, muted);
      call.on('quality', (quality) => this.emit('quality', quality));
      if (this.#options.delegate) focus.stop = delegate({ call, will: this.#own.will, serverName: homeserver.serverName, clock: this.#session.options.clock });
    }
    this.#merge.add(focus.name, call);
    call.on('state', () => this.#refreshState());
    call.on('ended', ({ error }) => this.#focusEnded(focus, error));
    call.join().catch(() => undefined);
  }

  #disconnect(focus: Focus): void {
    this.#foci.delete(focus.name);
    this.#merge.remove(focus.name);
    focus.stop?.();
    if (focus.isOwn && this.#state !== 'ended') void this.#own.will.takeBack();
    focus.call.leave();
  }

  #focusEnded(focus: Focus, error: CallError): void {
    if (this.#foci.get(focus.name) !== focus) return;
    this.#merge.remove(focus.name);
    focus.error = error;
    if (focus.isOwn) {
      this.#end(error);
      return;
    }
    for (const [id, way] of this.#reach) {
      if (way.by === 'focus' && isSameFocus(way.focus, focus.transport)) this.#reach.set(id, { by: 'nothing', why: 'Its server does not answer, or does not let us in.' });
    }
    this.emit('reach', undefined);
  }

  /** A change of the way is complete for us once all of the other's is shown, opened, from where it is to come. */
  #checkChangedOver(): void {
    const mesh = this.#mesh;
    if (!mesh?.peer?.connected) return;
    const direct = [...mesh.peer.participants.values()].flatMap(({ identity, tracks }) => {
      const member = this.#directory.find(identity);
      return member !== null && member !== 'former' ? [...tracks.values()].filter(({ muted }) => !muted).map(({ source }) => `${keyOf(member)}/${source}`) : [];
    });
    if (mesh.growing && direct.every((id) => this.#merge.shownOver(id) !== 'mesh')) mesh.done();
    // What it sends directly is heard a moment after the connection is up.
    else if (!mesh.growing && mesh.peer.participants.size > 0 && direct.every((id) => this.#merge.shownOver(id) === 'mesh')) mesh.settled();
  }

  // --- state

  #resolve({ identity }: RemoteParticipant): { id: string; name: string } | 'hidden' | null {
    const member = this.#directory.find(identity);
    if (member === 'former') return 'hidden';
    return member && { id: keyOf(member), name: this.#session.options.room.displayName(member.user) };
  }

  #refreshState(): void {
    if (this.#state === 'ended' || this.#state === 'idle') return;
    const focus = this.#ownFocus;
    if (focus) this.#setState(focus.call.state === 'idle' || focus.call.state === 'ended' ? 'joining' : focus.call.state);
    else this.#setState(this.#own.eventId === null ? 'joining' : 'joined');
  }

  readonly #pageHidden = (): void => this.leave();

  #end(error: CallError): CallError {
    if (this.#state === 'ended') return error;
    this.#setState('ended');
    removeEventListener('pagehide', this.#pageHidden);
    for (const stop of this.#stops) stop();
    void this.#own.leave();
    this.#cancelTopology();
    this.#keys?.close();
    this.#mesh?.close();
    for (const focus of [...this.#foci.values()]) this.#disconnect(focus);
    this.#encryption?.close();
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
