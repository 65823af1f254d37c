// The media keys of one call: ours go out to the members over Olm, theirs come in, and both end up in the worker.

import type { MemberKeysClient } from '../e2ee/member-client.ts';
import { KeyBox } from './key-box.ts';
import { KEY_TYPE, keyContent, readKey } from './key-message.ts';
import { KeyRing } from './key-ring.ts';
import type { Membership } from './membership.ts';
import type { RoomSessionOptions } from './room-session.ts';

export interface CallKeysOptions {
  readonly session: RoomSessionOptions;
  readonly memberId: string;
  readonly worker: MemberKeysClient;
  readonly failed: (message: string) => void;
}

export class CallKeys {
  readonly #ring: KeyRing;
  readonly #box: KeyBox;
  readonly #stop: () => void;

  constructor({ session, memberId, worker, failed }: CallKeysOptions) {
    const { homeserver, room, clock, wallClock } = session;
    this.#box = new KeyBox({ set: (identity, index, key) => worker.setKey(identity, index, key), remove: (identity) => worker.remove(identity) });
    this.#ring = new KeyRing({
      clock,
      prepare: ({ index, key }) => worker.prepareKey(index, key),
      use: (index) => worker.useKey(index),
      send: (key, to) => {
        const content = keyContent(room.id, { id: memberId, device: homeserver.device }, key, wallClock());
        const targets = to.filter(({ deviceFrom }) => deviceFrom !== 'nothing').map(({ user, device }) => ({ user, device }));
        homeserver.sendToDevice(KEY_TYPE, targets, content).catch(() => failed('a key could not be sent'));
      },
    });
    this.#stop = homeserver.onToDevice((message) => {
      const key = readKey(message, room.id, wallClock());
      if (key) this.#box.add(key);
    });
  }

  /** Everybody else in the session. */
  async setMembers(others: readonly Membership[]): Promise<void> {
    await this.#box.setMembers(others);
    this.#ring.setMembers(others);
  }

  close(): void {
    this.#stop();
    this.#ring.close();
  }
}
