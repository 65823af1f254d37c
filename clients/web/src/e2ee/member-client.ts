// The page's side of the encryption worker, for keys that members give each other. One worker serves all peer connections
// of the call: what goes to a focus and to another browser at once is sealed under one key, and must share its counter.

import { Emitter } from '../emitter.ts';
import { WorkerLink, type FrameEncryption, type FrameEvents } from './link.ts';
import type { Expectation } from './messages.ts';
import type { Bytes } from './sframe.ts';

/** What a `Call` needs of keys that come from elsewhere. */
export interface MemberEncryption {
  readonly keyIndex: number;
  /** The encryption of one more peer connection. */
  connection(): FrameEncryption;
  on(type: 'key-in-use', listener: (event: { index: number }) => void): () => void;
}

export class MemberKeysClient extends WorkerLink implements MemberEncryption {
  #index = 0;
  #connections = 0;

  constructor(worker: Worker) {
    super(worker);
    this.post({ type: 'member-keys' });
    this.on('key-in-use', ({ index }) => (this.#index = index));
  }

  /** Index of the key that everything is sent under. */
  get keyIndex(): number {
    return this.#index;
  }

  prepareKey(index: number, key: Uint8Array): void {
    this.post({ type: 'own-key', index, key: key.slice() as Bytes });
  }

  /** Answered by `key-in-use`. */
  useKey(index: number): void {
    this.post({ type: 'use-key', index });
  }

  /** `owner` is the identity that a focus must show for this member. */
  setKey(owner: string, index: number, key: Uint8Array): void {
    this.post({ type: 'member-key', owner, index, key: key.slice() as Bytes });
  }

  remove(owner: string): void {
    this.post({ type: 'peer-gone', participant: owner });
  }

  connection(): FrameEncryption {
    return new Connection(this, `c${++this.#connections}`);
  }
}

class Connection extends Emitter<FrameEvents> implements FrameEncryption {
  readonly #link: WorkerLink;
  readonly #scope: string;
  readonly #senders: RTCRtpSender[] = [];
  readonly #slots = new Set<string>();
  readonly #stops: (() => void)[];

  constructor(link: WorkerLink, scope: string) {
    super();
    this.#link = link;
    this.#scope = scope;
    const own = this.#full('');
    this.#stops = [
      link.on('counters', (counters) => this.emit('counters', counters)),
      link.on('state', ({ slot, track, state }) => (slot.startsWith(own) ? this.emit('state', { slot: slot.slice(own.length), track, state }) : undefined)),
    ];
  }

  protectSender(sender: RTCRtpSender, name: string): void {
    this.#senders.push(sender);
    this.#link.attachSender(sender, name, this.#scope);
  }

  protectReceiver(receiver: RTCRtpReceiver, slot: string): void {
    this.#link.attachReceiver(receiver, this.#full(slot), this.#scope);
  }

  expect(slot: string, expectation: Expectation | null): void {
    this.#slots.add(slot);
    this.#link.post({ type: 'expect', slot: this.#full(slot), expectation });
  }

  setCodecs(byPayloadType: ReadonlyMap<number, string>): void {
    this.#link.post({ type: 'codecs', scope: this.#scope, byPayloadType });
  }

  askKeyFrames(): void {
    this.#link.askKeyFrames();
  }

  /** The worker lives on for the other connections. */
  close(): void {
    for (const stop of this.#stops) stop();
    for (const sender of this.#senders) this.#link.forgetSender(sender);
    for (const slot of this.#slots) this.#link.post({ type: 'expect', slot: this.#full(slot), expectation: null });
  }

  #full(slot: string): string {
    return `${this.#scope}/${slot}`;
  }
}
