// The media keys of one call: ours go out to the members over Olm, theirs come in, and both end up in the worker.

import type { MemberKeysClient } from '../e2ee/member-client.ts';
import type { Target, ToDevice } from './homeserver.ts';
import { participantIdentity } from './identity.ts';
import { KeyBox } from './key-box.ts';
import { KEY_TYPE, keyContent, readKey } from './key-message.ts';
import { KEY_REQUEST_TYPE, KeyAsker, keyRequestContent, readKeyRequest } from './key-request.ts';
import { KeyRing, type KeySend } from './key-ring.ts';
import type { Membership } from './membership.ts';
import type { RoomSessionOptions } from './room-session.ts';

export interface CallKeysOptions {
  readonly session: RoomSessionOptions;
  readonly memberId: string;
  readonly worker: MemberKeysClient;
  readonly failed: (message: string) => void;
}

export class CallKeys {
  readonly #options: CallKeysOptions;
  readonly #ring: KeyRing;
  readonly #box: KeyBox;
  readonly #asker: KeyAsker;
  readonly #stop: () => void;
  #isClosed = false;

  constructor(options: CallKeysOptions) {
    this.#options = options;
    const { session, worker } = options;
    const { homeserver, room, slot, clock } = session;
    this.#box = new KeyBox({ clock, room: room.id, slot, own: homeserver, set: (identity, index, key) => worker.setKey(identity, index, key), remove: (identity) => worker.remove(identity) });
    this.#ring = new KeyRing({ clock, prepare: ({ index, key }) => worker.prepareKey(index, key), use: (index) => worker.useKey(index), send: (send) => void this.#send(send) });
    this.#asker = new KeyAsker({ clock, ask: (member) => void this.#ask(member) });
    this.#stop = homeserver.onToDevice((message) => this.#handle(message));
  }

  /** Everybody else in the session. */
  async setMembers(others: readonly Membership[]): Promise<void> {
    // One whose device nobody names can be told nothing, and tells us nothing.
    const known = others.filter(({ deviceFrom }) => deviceFrom !== 'nothing');
    const owners = await Promise.all(known.map(async ({ user, device, memberId }) => ({ user, device, memberId, identity: await participantIdentity(user, memberId) })));
    if (this.#isClosed) return;
    this.#box.setMembers(owners);
    this.#ring.setMembers(known);
    this.#asker.setMembers(known);
  }

  /** Whether what comes from this member does not open. */
  lacking(member: Membership, lacks: boolean): void {
    this.#asker.lacking(member, lacks);
  }

  close(): void {
    this.#isClosed = true;
    this.#stop();
    this.#ring.close();
    this.#asker.close();
  }

  #handle({ type, sender, device, content }: ToDevice): void {
    const { memberId, session } = this.#options;
    const key = readKey(type, content);
    if (key) return void this.#box.add(sender, device, key);
    const request = readKeyRequest(type, content, session.room.id, session.slot);
    if (request?.toMemberId === memberId) this.#ring.asked({ user: sender, device, memberId: request.memberId });
  }

  async #send({ request, key, to }: KeySend): Promise<void> {
    const { memberId, session, failed } = this.#options;
    const { homeserver, room, wallClock } = session;
    const content = keyContent(room.id, { id: memberId, device: homeserver.device }, key, wallClock());
    const undelivered = await homeserver.sendToDevice(KEY_TYPE, to, content).catch((): readonly Target[] => to);
    if (undelivered.length > 0) failed(`a key could not be sent to ${undelivered.length} of ${to.length}`);
    this.#ring.sent(request, to.filter(({ user, device }) => undelivered.some((target) => target.user === user && target.device === device)));
  }

  async #ask(member: Membership): Promise<void> {
    const { memberId, session } = this.#options;
    const content = keyRequestContent(session.room.id, session.slot, { memberId, toMemberId: member.memberId });
    await session.homeserver.sendToDevice(KEY_REQUEST_TYPE, [member], content).catch(() => undefined);
  }
}
