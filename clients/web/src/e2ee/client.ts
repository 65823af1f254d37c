// The page's side of the encryption worker.

import { encodeBase64Url, MAX_KEYS, newSalt } from './keys.ts';
import type { EncryptionState, Expectation, FromWorker, ToWorker, TransformRole } from './messages.ts';
import { Emitter } from '../emitter.ts';
import type { KeySalt } from '../wire.ts';

export interface EncryptionEvents {
  state: { slot: string; track: string; state: EncryptionState };
  /** Everything is sent under this key from now on. Key frames are asked of the encoders after the listeners have run. */
  'key-in-use': { index: number };
  counters: { sealed: number; opened: number; dropped: number };
}

/** Whether this browser can encrypt frames at all. */
export function canEncrypt(): boolean {
  return typeof RTCRtpScriptTransform === 'function';
}

/** 16 random bytes for the fragment of a call's link. */
export function newSecret(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(16)));
}

export class EncryptionClient extends Emitter<EncryptionEvents> {
  readonly #worker: Worker;
  readonly #keys: KeySalt[] = [];
  readonly #senders = new Set<RTCRtpSender>();
  #inUse = 0;

  constructor(worker: Worker, secret: string | null, ratchetBits: number) {
    super();
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#handle(data);
    if (secret !== null) {
      this.#post({ type: 'secret', secret: new TextEncoder().encode(secret) as Uint8Array<ArrayBuffer>, ratchetBits });
    }
  }

  /** Attaches to a sender before its first offer: what is sent earlier would be in clear. */
  protectSender(sender: RTCRtpSender, name: string): void {
    const role: TransformRole = { side: 'send', name };
    sender.transform = new RTCRtpScriptTransform(this.#worker, role);
    this.#senders.add(sender);
  }

  protectReceiver(receiver: RTCRtpReceiver, slot: string): void {
    const role: TransformRole = { side: 'receive', slot };
    receiver.transform = new RTCRtpScriptTransform(this.#worker, role);
  }

  /** Draws a new key and returns what to announce. The key is used only after `useKey`. */
  newKey(): { index: number; keys: KeySalt[] } {
    const index = (this.#keys.at(-1)?.index ?? -1) + 1;
    const key = { index, salt: newSalt() };
    this.#keys.push(key);
    this.#keys.splice(0, this.#keys.length - MAX_KEYS);
    this.#post({ type: 'prepare-key', ...key });
    return { index, keys: this.announced() };
  }

  /** The key in use, the one before (frames are still under way) and those announced for later. */
  announced(): KeySalt[] {
    return this.#keys.filter(({ index }) => index >= this.#inUse - 1);
  }

  useKey(index: number): void {
    this.#inUse = index;
    this.#post({ type: 'use-key', index });
  }

  ratchet(): void {
    this.#post({ type: 'ratchet' });
  }

  setPeerKeys(participant: string, keys: readonly KeySalt[]): void {
    this.#post({ type: 'peer-keys', participant, keys });
  }

  removePeer(participant: string): void {
    this.#post({ type: 'peer-gone', participant });
  }

  expect(slot: string, expectation: Expectation | null): void {
    this.#post({ type: 'expect', slot, expectation });
  }

  setCodecs(byPayloadType: ReadonlyMap<number, string>): void {
    this.#post({ type: 'codecs', byPayloadType });
  }

  close(): void {
    this.#worker.onmessage = null;
    this.#worker.terminate();
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** Those who were told first know that the key frame which follows is under the new key. */
  #keyInUse({ index, keyFrames }: Extract<FromWorker, { type: 'key-in-use' }>): void {
    this.emit('key-in-use', { index });
    if (keyFrames) return this.#post({ type: 'key-frames' });
    for (const sender of this.#senders) requestKeyFrame(sender).catch((error: unknown) => console.warn('no key frame', error));
  }

  #handle(message: FromWorker): void {
    if (message.type === 'state') this.emit('state', message);
    else if (message.type === 'key-in-use') this.#keyInUse(message);
    else if (message.type === 'counters') this.emit('counters', { sealed: message.sealed, opened: message.opened, dropped: message.dropped });
    else console.warn('encryption worker:', message.message);
  }
}

/** Chromium's way to ask an encoder for key frames; it is not in TypeScript's DOM library. */
interface KeyFrameSender {
  setParameters(parameters: RTCRtpSendParameters, options: { encodingOptions: { keyFrame: boolean }[] }): Promise<void>;
}

async function requestKeyFrame(sender: RTCRtpSender): Promise<void> {
  if (sender.track?.kind !== 'video') return;
  const parameters = sender.getParameters();
  const encodingOptions = parameters.encodings.map(() => ({ keyFrame: true }));
  await (sender as unknown as KeyFrameSender).setParameters(parameters, { encodingOptions });
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
