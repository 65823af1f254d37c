// What any page needs of the encryption worker, wherever the keys come from: transforms, expectations, key frames.

import type { EncryptionState, Expectation, FromWorker, ToWorker, TransformRole } from './messages.ts';
import { Emitter, type Listener } from '../emitter.ts';

/** Encrypts and opens the frames of one peer connection. */
export interface FrameEncryption {
  /** Attaches to a sender before its first offer: what is sent earlier would be in clear. */
  protectSender(sender: RTCRtpSender, name: string): void;
  protectReceiver(receiver: RTCRtpReceiver, slot: string): void;
  expect(slot: string, expectation: Expectation | null): void;
  setCodecs(byPayloadType: ReadonlyMap<number, string>): void;
  /** Asks our own encoders for key frames: a receiver cannot go on without. */
  askKeyFrames(): void;
  on<K extends keyof FrameEvents>(type: K, listener: Listener<FrameEvents[K]>): () => void;
  close(): void;
}

export interface Counters {
  readonly sealed: number;
  readonly opened: number;
  readonly dropped: number;
}

export interface LinkEvents {
  state: { slot: string; track: string; state: EncryptionState };
  /** Everything is sent under this key from now on. Key frames are asked of the encoders after the listeners have run. */
  'key-in-use': { index: number };
  counters: Counters;
}

export type FrameEvents = Pick<LinkEvents, 'state' | 'counters'>;

/** Whether this browser can encrypt frames at all. */
export function canEncrypt(): boolean {
  return typeof RTCRtpScriptTransform === 'function';
}

export class WorkerLink extends Emitter<LinkEvents> {
  readonly #worker: Worker;
  readonly #senders = new Set<RTCRtpSender>();
  #workerAsks = false;

  constructor(worker: Worker) {
    super();
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#handle(data);
  }

  post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  attachSender(sender: RTCRtpSender, name: string, scope: string): void {
    const role: TransformRole = { side: 'send', scope, name };
    sender.transform = new RTCRtpScriptTransform(this.#worker, role);
    this.#senders.add(sender);
  }

  attachReceiver(receiver: RTCRtpReceiver, slot: string, scope: string): void {
    const role: TransformRole = { side: 'receive', scope, slot };
    receiver.transform = new RTCRtpScriptTransform(this.#worker, role);
  }

  forgetSender(sender: RTCRtpSender): void {
    this.#senders.delete(sender);
  }

  close(): void {
    this.#worker.onmessage = null;
    this.#worker.terminate();
  }

  /** Those who were told first know that the key frame which follows is under the new key. */
  #keyInUse({ index, keyFrames }: Extract<FromWorker, { type: 'key-in-use' }>): void {
    this.emit('key-in-use', { index });
    this.#workerAsks = keyFrames;
    this.askKeyFrames();
  }

  askKeyFrames(): void {
    if (this.#workerAsks) return this.post({ type: 'key-frames' });
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
