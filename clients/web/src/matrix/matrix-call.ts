// A call in a Matrix room, as a page sees it: one call, whatever the ways it goes over. Memberships say who is there and
// where, Olm brings the keys, and a `Call` for each focus (or a direct connection) brings the media.

import type { CallEvents, CallState } from '../call.ts';
import type { CallView, PublishView } from '../call-view.ts';
import type { Counters } from '../e2ee/link.ts';
import { canEncrypt } from '../e2ee/link.ts';
import { MemberKeysClient } from '../e2ee/member-client.ts';
import { Emitter } from '../emitter.ts';
import type { VideoCodec } from '../encodings.ts';
import { CallError } from '../errors.ts';
import type { Publication } from '../media.ts';
import { Publications } from '../publications.ts';
import type { RemoteParticipant } from '../roster.ts';
import type { Reading } from '../stats.ts';
import type { Wish } from '../subscriptions.ts';
import type { Source } from '../wire.ts';
import { CallKeys } from './call-keys.ts';
import { CourseKeeper, type Course } from './course.ts';
import { Directory } from './directory.ts';
import { Foci } from './foci.ts';
import { encodeBase64 } from './identity.ts';
import { keyOf, type Membership } from './membership.ts';
import { Merge } from './merge.ts';
import { Mesh } from './mesh.ts';
import { MeshPeer } from './mesh-peer.ts';
import { OwnMember } from './own-member.ts';
import { plays } from './plays.ts';
import type { RoomSession } from './room-session.ts';
import { isSameFocus, type RustSfu, type Transport } from './transport.ts';
import { reach, type Reach } from './ways.ts';

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
  /** The delayed leave that the homeserver holds for us now: whoever comes back without this object has it to cancel. */
  readonly willChanged?: (delayId: string | null) => void;
  /** Of the page before this one: it is cancelled once there is a new one. */
  readonly formerWill?: string | null;
}

export interface MatrixCallEvents extends CallEvents {
  /** Who is reached how. */
  reach: undefined;
}

const MEMBER_ID_BYTES = 12;
const FORWARDED = ['participant-joined', 'participant-updated', 'participant-left', 'track-added', 'track-changed', 'track-removed', 'media', 'media-ended', 'paused', 'speakers', 'encryption', 'warning'] as const;

export class MatrixCall extends Emitter<MatrixCallEvents> implements CallView {
  readonly #options: MatrixCallOptions;
  readonly #session: RoomSession;
  readonly #memberId = randomId();
  readonly #own: OwnMember;
  readonly #merge: Merge;
  readonly #publications = new Publications();
  readonly #encryption: MemberKeysClient;
  readonly #keys: CallKeys;
  readonly #foci: Foci;
  readonly #mesh: Mesh | null;
  readonly #course: CourseKeeper;
  readonly #directory: Directory;
  readonly #reach = new Map<string, Reach>();
  readonly #stops: (() => void)[] = [];
  #state: CallState = 'idle';
  #updating: Promise<void> = Promise.resolve();
  #counters: Counters = { sealed: 0, opened: 0, dropped: 0 };

  constructor(options: MatrixCallOptions) {
    super();
    const { session, roomVersion, intent, worker, codec, simulcast, iceServers, mesh } = options;
    const { homeserver, room, slot, clock, wallClock } = session.options;
    this.#options = options;
    this.#session = session;
    this.#own = new OwnMember({ homeserver, clock, room: room.id, roomVersion, slot, memberId: this.#memberId, intent, wallClock, willChanged: (delayId) => options.willChanged?.(delayId) });
    this.#directory = new Directory(clock, () => this.#update());
    this.#merge = new Merge((participant) => this.#resolve(participant), plays);
    this.#encryption = new MemberKeysClient(worker());
    this.#keys = new CallKeys({ session: session.options, memberId: this.#memberId, worker: this.#encryption, failed: (message) => this.emit('warning', { message }) });
    this.#foci = new Foci({ session: session.options, memberId: this.#memberId, encryption: this.#encryption, publications: this.#publications, codec, simulcast, will: options.delegate ? this.#own.will : null, ...(iceServers ? { iceServers } : {}) });
    this.#course = new CourseKeeper({ clock, wallClock, mesh, again: () => this.#update() });
    this.#mesh = mesh ? this.#newMesh() : null;
  }

  // --- as a page sees it

  get state(): CallState {
    return this.#state;
  }

  get participantId(): string | null {
    return this.#foci.own?.call.participantId ?? null;
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
    this.#listen();
    try {
      await this.#own.join(this.#ownTransports());
      if (this.#options.formerWill) this.#own.will.forget(this.#options.formerWill);
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
    if (this.#own.eventId !== null) await this.#session.setHand(this.#own.eventId, up);
  }

  async react(emoji: string, name: string): Promise<void> {
    if (this.#own.eventId !== null) await this.#session.react(this.#own.eventId, emoji, name);
  }

  // --- our media

  publish(source: Source, track: MediaStreamTrack | null, muted = false): void {
    this.#publications.publish(source, track, muted);
    for (const target of this.#targets()) target.publish(source, track, muted);
  }

  unpublish(source: Source): void {
    this.#publications.unpublish(source);
    for (const target of this.#targets()) target.unpublish(source);
  }

  publication(source: Source): Readonly<Publication> | undefined {
    return this.#publications.get(source);
  }

  async replaceTrack(source: Source, track: MediaStreamTrack | null): Promise<void> {
    this.#publications.replaceTrack(source, track);
    await Promise.all(this.#targets().map((target) => target.replaceTrack(source, track)));
  }

  setMuted(source: Source, muted: boolean): void {
    if (!this.#publications.setMuted(source, muted)) return;
    for (const target of this.#targets()) target.setMuted(source, muted);
  }

  want(track: string, wish: Wish | null): void {
    this.#merge.want(track, wish);
  }

  async stats(): Promise<(Reading & { readonly frames: Counters }) | null> {
    const focus = this.#foci.own ?? this.#foci.first;
    const reading = await focus?.call.stats();
    return reading ? { ...reading, frames: this.#counters } : null;
  }

  #targets(): PublishView[] {
    const focus = this.#foci.own;
    return [...(focus ? [focus.call] : []), ...(this.#mesh?.peer ? [this.#mesh.peer] : [])];
  }

  // --- ways

  #ownTransports(): Transport[] {
    const mesh: Transport[] = this.#options.mesh ? [{ kind: 'full_mesh', json: { type: 'full_mesh' } }] : [];
    return [...this.#options.transports.filter(({ kind }) => kind === 'rust_sfu'), ...mesh];
  }

  #listen(): void {
    for (const type of FORWARDED) this.#merge.on(type, (event) => this.emit(type, event as never));
    this.#merge.on('encryption', ({ participant }) => {
      this.#checkLacking(participant);
      this.#checkChangedOver();
    });
    this.#merge.on('track-removed', ({ participant: { id } }) => this.#checkLacking(id));
    this.#merge.on('changed-over', () => this.#checkChangedOver());
    this.#encryption.on('counters', (counters) => (this.#counters = counters));
    this.#stops.push(this.#session.options.homeserver.onToDevice((message) => this.#mesh?.handle(message)));
    this.#foci.on('opened', ({ name, call, isOwn }) => {
      if (isOwn) call.on('quality', (quality) => this.emit('quality', quality));
      this.#merge.add(name, call);
    });
    this.#foci.on('closed', ({ name, isOwn }) => {
      this.#merge.remove(name);
      if (isOwn && this.#state !== 'ended') void this.#own.will.takeBack();
    });
    this.#foci.on('state', () => this.#refreshState());
    this.#foci.on('failed', ({ focus, error }) => (focus.isOwn ? this.#end(error) : this.#lost(focus)));
  }

  #newMesh(): Mesh {
    const { homeserver, room, slot } = this.#session.options;
    const { codec, iceServers = [] } = this.#options;
    const mesh = new Mesh({
      homeserver,
      room: room.id,
      slot,
      own: { user: homeserver.user, device: homeserver.device, memberId: this.#memberId },
      newSession: randomId,
      newPeer: (member, offers, send) =>
        new MeshPeer({ offers, send, identity: this.#directory.identityOf(member), name: member.user, encryption: this.#encryption.connection(), codec, iceServers }),
    });
    mesh.on('opened', ({ peer }) => {
      this.#merge.add('mesh', peer);
      this.#publications.sendOver(peer);
    });
    mesh.on('closed', () => this.#merge.remove('mesh'));
    mesh.on('connected', () => {
      this.#refreshState();
      this.emit('reach', undefined);
    });
    mesh.on('settled', () => this.#update());
    mesh.on('failed', ({ member }) => {
      this.#course.failed(member);
      this.#update();
    });
    return mesh;
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
    this.#own.seen(own && { eventId: own.eventId, isOurs: own.memberId === this.#memberId, sentAt: own.sentAt }, room);
    await this.#directory.setMembers(others);
    await this.#keys.setMembers(others);
    const course = this.#course.decide({ own: own?.memberId === this.#memberId ? own : null, others, everybody, lastLeftAt: this.#session.lastLeftAt, overFocus: !this.#foci.isEmpty });
    this.#reach.clear();
    for (const member of others) this.#reach.set(keyOf(member), reach(member, everybody, course === 'mesh' || course === 'undecided'));
    this.#take(course, others[0]);
    this.#merge.setMembers(new Map(others.map((member) => [keyOf(member), room.displayName(member.user)])));
    this.#refreshState();
    this.#checkChangedOver();
    this.emit('reach', undefined);
  }

  #take(course: Course, other: Membership | undefined): void {
    const mesh = this.#mesh;
    if (course === 'alone') mesh?.close();
    if (course === 'mesh' && other) mesh?.open(other);
    const ownFocus = this.#options.transports.find((transport): transport is RustSfu => transport.kind === 'rust_sfu' && transport.url !== null) ?? null;
    // Who never connects directly may wait for the others at the focus. A focus is left once both see each other directly.
    const stays = course === 'mesh' && this.#foci.own !== null && !mesh?.isSettled;
    const sends = course === 'focus' || stays || (course === 'alone' && !mesh);
    const wanted = [...this.#reach.values()].flatMap((reached) => (reached.by === 'focus' ? [reached.focus] : []));
    this.#foci.want(sends ? ownFocus : null, wanted);
    if (course === 'focus') mesh?.grow();
  }

  #lost({ name, transport }: { readonly name: string; readonly transport: RustSfu }): void {
    this.#merge.remove(name);
    for (const [id, way] of this.#reach) {
      if (way.by === 'focus' && isSameFocus(way.focus, transport)) this.#reach.set(id, { by: 'nothing', why: 'Its server does not answer, or does not let us in.' });
    }
    this.emit('reach', undefined);
  }

  /** Who sends what we cannot open is asked for the key. */
  #checkLacking(participant: string): void {
    const member = this.memberOf(participant);
    const states = [...(this.#merge.participants.get(participant)?.tracks.keys() ?? [])].map((track) => this.#merge.encryptionState(track));
    if (member) this.#keys.lacking(member, states.some((state) => state === 'missing-key' || state === 'failed'));
  }

  /** A change of the way is complete for us once all of the other's is shown, opened, from where it is to come. */
  #checkChangedOver(): void {
    this.#mesh?.checkChangedOver((identity, source) => {
      const member = this.#directory.find(identity);
      return member === null || member === 'former' ? undefined : this.#merge.shownOver(`${keyOf(member)}/${source}`);
    });
  }

  // --- state

  #resolve({ identity }: RemoteParticipant): { id: string; name: string } | 'hidden' | null {
    const member = this.#directory.find(identity);
    if (member === 'former') return 'hidden';
    return member && { id: keyOf(member), name: this.#session.options.room.displayName(member.user) };
  }

  #refreshState(): void {
    if (this.#state === 'ended' || this.#state === 'idle') return;
    const focus = this.#foci.own;
    if (focus) this.#setState(focus.call.state === 'idle' || focus.call.state === 'ended' ? 'joining' : focus.call.state);
    else this.#setState(this.#own.eventId === null ? 'joining' : 'joined');
  }

  readonly #pageHidden = (): void => this.leave();

  #end(error: CallError): CallError {
    if (this.#state === 'ended') return error;
    this.#setState('ended');
    removeEventListener('pagehide', this.#pageHidden);
    for (const stop of this.#stops) stop();
    void this.#own.leave(this.#session.options.room);
    this.#course.close();
    this.#keys.close();
    this.#mesh?.close();
    this.#foci.close();
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
