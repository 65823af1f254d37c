// The foci that the call goes over: one `Call` each. To our own we send, from those of the others we only receive.

import { Call } from '../call.ts';
import type { MemberEncryption } from '../e2ee/member-client.ts';
import { Emitter } from '../emitter.ts';
import type { VideoCodec } from '../encodings.ts';
import type { CallError } from '../errors.ts';
import type { Publications } from '../publications.ts';
import { delegate } from './delegation.ts';
import { enter } from './enter.ts';
import type { LastWill } from './last-will.ts';
import type { RoomSessionOptions } from './room-session.ts';
import { isSameFocus, type RustSfu } from './transport.ts';
import { distinctFoci, nameOf } from './ways.ts';

export interface Focus {
  readonly name: string;
  readonly transport: RustSfu;
  readonly call: Call;
  readonly isOwn: boolean;
  /** Ends the delegation of the last will. */
  readonly stop: () => void;
}

export interface FociEvents {
  opened: Focus;
  closed: Focus;
  state: Focus;
  /** It does not answer, or does not let us in. It is not tried again while it is wanted. */
  failed: { focus: Focus; error: CallError };
}

export interface FociOptions {
  readonly session: RoomSessionOptions;
  readonly memberId: string;
  readonly encryption: MemberEncryption;
  readonly publications: Publications;
  readonly codec: VideoCodec;
  readonly simulcast: boolean;
  readonly iceServers?: RTCIceServer[];
  /** Our last will, if our focus shall restart it for us. */
  readonly will: LastWill | null;
}

export class Foci extends Emitter<FociEvents> {
  readonly #options: FociOptions;
  readonly #foci = new Map<string, Focus>();

  constructor(options: FociOptions) {
    super();
    this.#options = options;
  }

  get own(): Focus | null {
    return [...this.#foci.values()].find(({ isOwn }) => isOwn) ?? null;
  }

  get first(): Focus | null {
    return [...this.#foci.values()][0] ?? null;
  }

  get isEmpty(): boolean {
    return this.#foci.size === 0;
  }

  /** Connects to those that are wanted now and leaves the others. `own`: where we send. */
  want(own: RustSfu | null, others: readonly RustSfu[]): void {
    const wanted = distinctFoci([...(own ? [own] : []), ...others]);
    for (const focus of [...this.#foci.values()]) {
      // One that we only receive from becomes our own only by joining anew, since media are published at the join.
      const still = wanted.find((transport) => isSameFocus(transport, focus.transport));
      if (!still || focus.isOwn !== (still === own)) this.#close(focus);
    }
    for (const transport of wanted) {
      const known = [...this.#foci.values()].some((focus) => isSameFocus(transport, focus.transport));
      if (!known) this.#open(transport, transport === own);
    }
  }

  close(): void {
    for (const focus of [...this.#foci.values()]) this.#close(focus);
  }

  #open(transport: RustSfu, isOwn: boolean): void {
    const { session, memberId, encryption, publications, codec, simulcast, iceServers, will } = this.#options;
    const { homeserver, room, slot, clock } = session;
    const call = new Call({
      token: () => enter({ homeserver, room: room.id, slot, memberId, focus: transport, clock }),
      members: encryption,
      worker: () => {
        throw new Error('member keys bring their own worker');
      },
      codec,
      simulcast,
      ...(iceServers ? { iceServers } : {}),
    });
    const stop = isOwn && will ? delegate({ call, will, serverName: homeserver.serverName, clock }) : () => undefined;
    const focus: Focus = { name: nameOf(transport), transport, call, isOwn, stop };
    this.#foci.set(focus.name, focus);
    if (isOwn) publications.sendOver(call);
    this.emit('opened', focus);
    call.on('state', () => this.emit('state', focus));
    call.on('ended', ({ error }) => (this.#foci.get(focus.name) === focus ? this.emit('failed', { focus, error }) : undefined));
    call.join().catch(() => undefined);
  }

  #close(focus: Focus): void {
    this.#foci.delete(focus.name);
    focus.stop();
    this.emit('closed', focus);
    focus.call.leave();
  }
}
