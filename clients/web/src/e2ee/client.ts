// The page's side of the encryption worker, for a call whose participants share a secret: own keys are announced as salts.

import { encodeBase64Url, MAX_KEYS, newSalt } from './keys.ts';
import { WorkerLink, type FrameEncryption } from './link.ts';
import type { Expectation } from './messages.ts';
import type { KeySalt } from '../wire.ts';

/** 16 random bytes for the fragment of a call's link. */
export function newSecret(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(16)));
}

export class EncryptionClient extends WorkerLink implements FrameEncryption {
  readonly #keys: KeySalt[] = [];
  #inUse = 0;

  constructor(worker: Worker, secret: string | null, ratchetBits: number) {
    super(worker);
    if (secret !== null) {
      this.post({ type: 'secret', secret: new TextEncoder().encode(secret) as Uint8Array<ArrayBuffer>, ratchetBits });
    }
  }

  protectSender(sender: RTCRtpSender, name: string): void {
    this.attachSender(sender, name, '');
  }

  protectReceiver(receiver: RTCRtpReceiver, slot: string): void {
    this.attachReceiver(receiver, slot, '');
  }

  /** Draws a new key and returns what to announce. The key is used only after `useKey`. */
  newKey(): { index: number; keys: KeySalt[] } {
    const index = (this.#keys.at(-1)?.index ?? -1) + 1;
    const key = { index, salt: newSalt() };
    this.#keys.push(key);
    this.#keys.splice(0, this.#keys.length - MAX_KEYS);
    this.post({ type: 'prepare-key', ...key });
    return { index, keys: this.announced() };
  }

  /** The key in use, the one before (frames are still under way) and those announced for later. */
  announced(): KeySalt[] {
    return this.#keys.filter(({ index }) => index >= this.#inUse - 1);
  }

  useKey(index: number): void {
    this.#inUse = index;
    this.post({ type: 'use-key', index });
  }

  ratchet(): void {
    this.post({ type: 'ratchet' });
  }

  setPeerKeys(participant: string, keys: readonly KeySalt[]): void {
    this.post({ type: 'peer-keys', participant, keys });
  }

  removePeer(participant: string): void {
    this.post({ type: 'peer-gone', participant });
  }

  expect(slot: string, expectation: Expectation | null): void {
    this.post({ type: 'expect', slot, expectation });
  }

  setCodecs(byPayloadType: ReadonlyMap<number, string>): void {
    this.post({ type: 'codecs', scope: '', byPayloadType });
  }
}

/** Payload type → MIME type, from the `a=rtpmap` lines. Within one BUNDLE group a payload type has one meaning. */
export function codecsOfSdp(sdp: string): Map<number, string> {
  const found = new Map<number, string>();
  let kind = '';
  for (const line of sdp.split(/\r?\n/)) {
    kind = /^m=(\w+)/.exec(line)?.[1] ?? kind;
    const map = /^a=rtpmap:(\d+) ([\w.-]+)\//.exec(line);
    if (map?.[1] && map[2]) found.set(Number(map[1]), `${kind}/${map[2]}`);
  }
  return found;
}
