// The direct connection while there are two: made when the memberships say so, made again when the other one starts anew,
// and kept while the call grows until both sides see each other over the focus.

import { Emitter } from '../emitter.ts';
import type { Homeserver, ToDevice } from './homeserver.ts';
import { keyOf, type Membership } from './membership.ts';
import { MESH_TYPE, meshContent, readMesh, weOffer, type MeshBody, type MeshMessage } from './mesh-message.ts';
import type { MeshPeer } from './mesh-peer.ts';
import type { Source } from '../wire.ts';

/** Both sides say when they have changed over; one that does not is not waited for longer. */
const GROW_MS = 15_000;

export interface MeshEvents {
  /** There is a connection to take media from and send them to. */
  opened: { peer: MeshPeer; member: Membership };
  closed: { peer: MeshPeer };
  connected: undefined;
  /** Both sides show each other over it, so that nothing else is needed. */
  settled: undefined;
  /** It cannot be made; the focus has to do it. */
  failed: { member: Membership };
}

export interface MeshOptions {
  readonly homeserver: Homeserver;
  readonly room: string;
  readonly slot: string;
  readonly own: { readonly user: string; readonly device: string; readonly memberId: string };
  readonly newPeer: (member: Membership, offers: boolean, send: (body: MeshBody) => void) => MeshPeer;
  readonly newSession: () => string;
}

export class Mesh extends Emitter<MeshEvents> {
  readonly #options: MeshOptions;
  #member: Membership | null = null;
  #peer: MeshPeer | null = null;
  #session: string | null = null;
  /** An offer that came before the member's event. */
  #early: { key: string; message: MeshMessage } | null = null;
  #settled = { we: false, they: false };
  #growing: { timer: ReturnType<typeof setTimeout>; weAreDone: boolean; theyAreDone: boolean } | null = null;

  constructor(options: MeshOptions) {
    super();
    this.#options = options;
  }

  get peer(): MeshPeer | null {
    return this.#peer;
  }

  get connected(): boolean {
    return this.#peer?.connected ?? false;
  }

  /** Connects to this member; does nothing if that is so already. */
  open(member: Membership): void {
    if (this.#member && keyOf(this.#member) === keyOf(member)) return;
    this.close();
    this.#member = member;
    if (weOffer(this.#options.own, member)) {
      this.#start(member, this.#options.newSession(), true);
      void this.#peer?.offer().catch(() => this.#failed(member));
    } else if (this.#early?.key === keyOf(member)) {
      this.#answer(member, this.#early.message);
    }
    this.#early = null;
  }

  handle(message: ToDevice): void {
    const { room, slot, own } = this.#options;
    const read = message.type === MESH_TYPE ? readMesh(message, room, slot) : null;
    if (!read || read.toMemberId !== own.memberId) return;
    const from = keyOf({ user: message.sender, device: message.device, memberId: read.memberId });
    if (!this.#member || keyOf(this.#member) !== from) {
      if (read.body.t === 'offer') this.#early = { key: from, message: read };
      return;
    }
    if (read.body.t === 'offer' && read.session !== this.#session && !weOffer(own, this.#member)) this.#answer(this.#member, read);
    else if (read.session === this.#session && read.body.t === 'done') this.#theyAreDone();
    else if (read.session === this.#session && read.body.t === 'settled') this.#settle('they');
    else if (read.session === this.#session) void this.#peer?.handle(read.body).catch(() => (this.#member ? this.#failed(this.#member) : undefined));
  }

  /** The call goes over a focus from now on; this connection stays until both see each other there. */
  grow(): void {
    if (!this.#peer || this.#growing) return;
    this.#growing = { timer: setTimeout(() => this.close(), GROW_MS), weAreDone: false, theyAreDone: false };
  }

  /**
   * Looks whether the change of the way is complete: all that the other sends directly is shown from where it is to come from.
   * `shownOver`: the name of the way; `undefined`: it is not shown at all, and does not count.
   */
  checkChangedOver(shownOver: (identity: string | null, source: Source) => string | null | undefined): void {
    const peer = this.#peer;
    if (!peer?.connected) return;
    const ways = [...peer.participants.values()].flatMap(({ identity, tracks }) => [...tracks.values()].filter(({ muted }) => !muted).map(({ source }) => shownOver(identity, source)));
    const counted = ways.filter((way) => way !== undefined);
    if (this.#growing) {
      if (counted.every((way) => way !== 'mesh')) this.#done();
    } else if (peer.participants.size > 0 && counted.every((way) => way === 'mesh')) {
      // What it sends directly is heard a moment after the connection is up: hence the size.
      this.#weSettled();
    }
  }

  #weSettled(): void {
    if (this.#settled.we || !this.#member) return;
    this.#send(this.#member, { t: 'settled' });
    this.#settle('we');
  }

  get isSettled(): boolean {
    return this.#settled.we && this.#settled.they;
  }

  #settle(side: 'we' | 'they'): void {
    this.#settled[side] = true;
    if (this.isSettled) this.emit('settled', undefined);
  }

  #done(): void {
    if (!this.#growing || this.#growing.weAreDone || !this.#member) return;
    this.#growing.weAreDone = true;
    this.#send(this.#member, { t: 'done' });
    if (this.#growing.theyAreDone) this.close();
  }

  close(): void {
    if (this.#growing) clearTimeout(this.#growing.timer);
    this.#growing = null;
    this.#member = null;
    this.#session = null;
    this.#settled = { we: false, they: false };
    const peer = this.#peer;
    this.#peer = null;
    if (!peer) return;
    this.emit('closed', { peer });
    peer.close();
  }

  #theyAreDone(): void {
    // It may have seen the third member before us; then our own growing is still to come.
    this.grow();
    if (!this.#growing) return;
    this.#growing.theyAreDone = true;
    if (this.#growing.weAreDone) this.close();
  }

  #answer(member: Membership, message: MeshMessage): void {
    this.#start(member, message.session, false);
    void this.#peer?.handle(message.body).catch(() => this.#failed(member));
  }

  #start(member: Membership, session: string, offers: boolean): void {
    const before = this.#peer;
    this.#session = session;
    this.#settled = { we: false, they: false };
    const peer = this.#options.newPeer(member, offers, (body) => this.#send(member, body));
    this.#peer = peer;
    if (before) {
      this.emit('closed', { peer: before });
      before.close();
    }
    peer.on('failed', () => (this.#peer === peer ? this.#failed(member) : undefined));
    peer.on('connected', () => this.emit('connected', undefined));
    this.emit('opened', { peer, member });
  }

  #failed(member: Membership): void {
    this.close();
    this.emit('failed', { member });
  }

  #send(member: Membership, body: MeshBody): void {
    const { homeserver, room, slot, own } = this.#options;
    const content = meshContent(room, slot, { memberId: own.memberId, toMemberId: member.memberId, session: this.#session ?? '', body });
    void homeserver.sendToDevice(MESH_TYPE, [{ user: member.user, device: member.device }], content).catch(() => undefined);
  }
}
