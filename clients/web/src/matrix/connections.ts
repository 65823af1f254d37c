// All that a call goes over at this moment: foci, and the direct connection while there are two. It opens and closes them as
// the memberships say, sends our media where they belong, and shows what comes in as one picture.

import type { PublishView } from '../call-view.ts';
import type { EncryptionState } from '../e2ee/messages.ts';
import type { MemberEncryption } from '../e2ee/member-client.ts';
import { Emitter } from '../emitter.ts';
import type { VideoCodec } from '../encodings.ts';
import type { CallError } from '../errors.ts';
import type { Publications } from '../publications.ts';
import type { RemoteParticipant } from '../roster.ts';
import type { Reading } from '../stats.ts';
import type { Wish } from '../subscriptions.ts';
import { CourseKeeper, type Course, type Situation } from './course.ts';
import type { Directory } from './directory.ts';
import { Foci, type Focus } from './foci.ts';
import type { ToDevice } from './homeserver.ts';
import type { LastWill } from './last-will.ts';
import { keyOf, type Membership } from './membership.ts';
import { Merge, type MergeEvents } from './merge.ts';
import { Mesh } from './mesh.ts';
import { MeshPeer } from './mesh-peer.ts';
import { plays } from './plays.ts';
import type { RoomSessionOptions } from './room-session.ts';
import { isSameFocus, type RustSfu, type Transport } from './transport.ts';
import { reach, type Reach } from './ways.ts';

export type ConnectionsEvents = Omit<MergeEvents, 'changed-over'> & {
  /** Who is reached how. */
  reach: undefined;
  /** A connection came up, went down, or is being tried again. */
  state: undefined;
  /** Our own focus was left, but the call goes on. */
  'left-focus': undefined;
  /** The memberships are to be looked at again, though nothing has happened to them. */
  again: undefined;
  /** Our own focus does not let us in any more. */
  failed: CallError;
};

export interface ConnectionsOptions {
  readonly session: RoomSessionOptions;
  readonly memberId: string;
  readonly transports: readonly Transport[];
  readonly directory: Directory;
  readonly encryption: MemberEncryption;
  readonly publications: Publications;
  readonly codec: VideoCodec;
  readonly simulcast: boolean;
  readonly iceServers?: RTCIceServer[];
  /** Whether we offer to connect directly. */
  readonly mesh: boolean;
  /** Our last will, if our focus shall restart it for us. */
  readonly will: LastWill | null;
  readonly newSession: () => string;
}

const FORWARDED = ['participant-joined', 'participant-updated', 'participant-left', 'track-added', 'track-changed', 'track-removed', 'media', 'media-ended', 'paused', 'speakers', 'encryption', 'warning'] as const;

export class Connections extends Emitter<ConnectionsEvents> {
  readonly #options: ConnectionsOptions;
  readonly #merge: Merge;
  readonly #foci: Foci;
  readonly #mesh: Mesh | null;
  readonly #course: CourseKeeper;
  readonly #reach = new Map<string, Reach>();

  constructor(options: ConnectionsOptions) {
    super();
    this.#options = options;
    const { session, mesh } = options;
    this.#merge = new Merge((participant) => this.#resolve(participant), plays);
    this.#foci = new Foci(options);
    this.#course = new CourseKeeper({ ...session, mesh, again: () => this.emit('again', undefined) });
    this.#mesh = mesh ? this.#newMesh() : null;
    this.#listen();
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.#merge.participants;
  }

  /** The focus that we send to. */
  get ownFocus(): Focus | null {
    return this.#foci.own;
  }

  /** Of the connection that our media take; while they take none, of another one. */
  async stats(): Promise<Reading | null> {
    const focus = this.#foci.own ?? (this.#mesh?.peer ? null : this.#foci.first);
    return (focus ? await focus.call.stats() : await this.#mesh?.peer?.stats()) ?? null;
  }

  /** Whether media go from browser to browser now. */
  get direct(): boolean {
    return this.#mesh?.connected ?? false;
  }

  /** Whatever takes our media now. */
  targets(): PublishView[] {
    const focus = this.#foci.own;
    return [...(focus ? [focus.call] : []), ...(this.#mesh?.peer ? [this.#mesh.peer] : [])];
  }

  /** `null`: it is nobody whom we know. */
  reachOf(id: string): Reach | null {
    return this.#reach.get(id) ?? null;
  }

  want(track: string, wish: Wish | null): void {
    this.#merge.want(track, wish);
  }

  /** Of all that this participant sends. */
  encryptionStates(participant: string): (EncryptionState | null)[] {
    return [...(this.#merge.participants.get(participant)?.tracks.keys() ?? [])].map((track) => this.#merge.encryptionState(track));
  }

  handle(message: ToDevice): void {
    this.#mesh?.handle(message);
  }

  /** As the memberships are now; `names` by the ids of the others. */
  update(situation: Omit<Situation, 'overFocus'>, names: ReadonlyMap<string, string>): void {
    const { others, everybody } = situation;
    const course = this.#course.decide({ ...situation, overFocus: !this.#foci.isEmpty });
    this.#reach.clear();
    for (const member of others) this.#reach.set(keyOf(member), reach(member, everybody, course === 'mesh' || course === 'undecided'));
    this.#take(course, others[0]);
    this.#merge.setMembers(names);
    this.#checkChangedOver();
    this.emit('reach', undefined);
  }

  close(): void {
    this.#course.close();
    this.#mesh?.close();
    this.#foci.close();
  }

  #take(course: Course, other: Membership | undefined): void {
    const mesh = this.#mesh;
    if (course === 'alone') mesh?.close();
    if (course === 'mesh' && other) mesh?.open(other);
    const ownFocus = this.#options.transports.find((transport): transport is RustSfu => transport.kind === 'rust_sfu') ?? null;
    // Who never connects directly may wait for the others at the focus. A focus is left once both see each other directly.
    const stays = course === 'mesh' && this.#foci.own !== null && !mesh?.isSettled;
    const sends = course === 'focus' || stays || (course === 'alone' && !mesh);
    const wanted = [...this.#reach.values()].flatMap((reached) => (reached.by === 'focus' ? [reached.focus] : []));
    this.#foci.want(sends ? ownFocus : null, wanted);
    if (course === 'focus') mesh?.grow();
  }

  #listen(): void {
    for (const type of FORWARDED) this.#merge.on(type, (event) => this.emit(type, event as never));
    this.#merge.on('encryption', () => this.#checkChangedOver());
    this.#merge.on('changed-over', () => this.#checkChangedOver());
    this.#foci.on('opened', ({ name, call, isOwn }) => {
      if (isOwn) call.on('quality', (quality) => this.emit('quality', quality));
      this.#merge.add(name, call);
    });
    this.#foci.on('closed', ({ name, isOwn }) => {
      this.#merge.remove(name);
      if (isOwn) this.emit('left-focus', undefined);
    });
    this.#foci.on('state', () => this.emit('state', undefined));
    this.#foci.on('failed', ({ focus, error }) => (focus.isOwn ? this.emit('failed', error) : this.#lost(focus)));
  }

  #newMesh(): Mesh {
    const { session, memberId, directory, encryption, publications, codec, iceServers = [], newSession } = this.#options;
    const { homeserver, room, slot } = session;
    const mesh = new Mesh({
      homeserver,
      room: room.id,
      slot,
      own: { user: homeserver.user, device: homeserver.device, memberId },
      newSession,
      newPeer: (member, offers, send) => new MeshPeer({ offers, send, identity: directory.identityOf(member), name: member.user, encryption: encryption.connection(), codec, iceServers }),
    });
    mesh.on('opened', ({ peer }) => {
      this.#merge.add('mesh', peer);
      publications.sendOver(peer);
    });
    mesh.on('closed', () => this.#merge.remove('mesh'));
    mesh.on('connected', () => {
      this.emit('state', undefined);
      this.emit('reach', undefined);
    });
    mesh.on('settled', () => this.emit('again', undefined));
    mesh.on('failed', ({ member }) => {
      this.#course.failed(member);
      this.emit('again', undefined);
    });
    return mesh;
  }

  #lost({ name, transport }: Focus): void {
    this.#merge.remove(name);
    for (const [id, way] of this.#reach) {
      if (way.by === 'focus' && isSameFocus(way.focus, transport)) this.#reach.set(id, { by: 'nothing', why: 'Its server does not answer, or does not let us in.' });
    }
    this.emit('reach', undefined);
  }

  /** A change of the way is complete for us once all of the other's is shown, opened, from where it is to come. */
  #checkChangedOver(): void {
    this.#mesh?.checkChangedOver((identity, source) => {
      const member = this.#options.directory.find(identity);
      return member === null || member === 'former' ? undefined : this.#merge.shownOver(`${keyOf(member)}/${source}`);
    });
  }

  #resolve({ identity }: RemoteParticipant): { id: string; name: string } | 'hidden' | null {
    const member = this.#options.directory.find(identity);
    if (member === 'former') return 'hidden';
    return member && { id: keyOf(member), name: this.#options.session.room.displayName(member.user) };
  }
}
