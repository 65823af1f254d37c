// The dedicated worker behind every `RTCRtpScriptTransform` of a call. There is exactly one per call, because all that we
// send shares one counter (see `OwnKeys`). It holds the only copy of the keys and hands frames on in order.

import { codecOf, sealFrame, type Codec } from './frame.ts';
import { OwnKeys, PeerKeys } from './keys.ts';
import type { Expectation, FromWorker, ToWorker, TransformRole } from './messages.ts';
import { MemberKeys, OwnMemberKeys } from './member-keys.ts';
import { SlotOpener } from './opener.ts';
import { seal, type Bytes } from './sframe.ts';

// The worker half of the standard is not in TypeScript's DOM library.
interface EncodedFrame {
  data: ArrayBuffer;
  getMetadata(): { payloadType?: number; mimeType?: string };
}
interface Transformer {
  readonly readable: ReadableStream<EncodedFrame>;
  readonly writable: WritableStream<EncodedFrame>;
  readonly options: TransformRole;
  generateKeyFrame?(rid?: string): Promise<unknown>;
}
interface Scope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  onrtctransform: ((event: { transformer: Transformer }) => void) | null;
  postMessage(message: FromWorker): void;
}
const scope = globalThis as unknown as Scope;

/** Keys from a shared secret, or of the members: a call has one kind. */
let own: OwnKeys | OwnMemberKeys | null = null;
let peers: PeerKeys | MemberKeys | null = null;
const codecs = new Map<string, ReadonlyMap<number, string>>();
const slots = new Map<string, SlotOpener>();
const senders = new Set<Transformer>();
const counters = { sealed: 0, opened: 0, dropped: 0 };

function slotOf(name: string): SlotOpener {
  let slot = slots.get(name);
  if (!slot) {
    slot = new SlotOpener((track, state) => scope.postMessage({ type: 'state', slot: name, track, state }));
    slots.set(name, slot);
  }
  return slot;
}

/** Not every browser puts the MIME type into the metadata; the payload type is there in all, and SDP says what it means. */
function codec(frame: EncodedFrame, scope: string): Codec | null {
  const { mimeType, payloadType } = frame.getMetadata();
  const mime = mimeType ?? (payloadType === undefined ? undefined : codecs.get(scope)?.get(payloadType));
  return mime === undefined ? null : codecOf(mime);
}

async function sealed(frame: EncodedFrame, scope: string): Promise<Bytes | null> {
  const kind = codec(frame, scope);
  const data: Bytes = new Uint8Array(frame.data);
  if (!own || !kind || data.length === 0) return null;
  const keys = own;
  return sealFrame(kind, data, (metadata, plaintext) => {
    const taken = keys.take();
    if (!taken) throw new Error('no key yet');
    return seal(taken.key, taken.ctr, metadata, plaintext);
  });
}

/** Frames that cannot be sealed are not sent, those that cannot be opened are not played: there is no way around. */
function transform(work: (frame: EncodedFrame) => Promise<Bytes | null>, done: 'sealed' | 'opened'): TransformStream<EncodedFrame, EncodedFrame> {
  return new TransformStream({
    async transform(frame, controller) {
      const data = await work(frame).catch(() => null);
      if (data === null) {
        counters.dropped++;
        return;
      }
      counters[done]++;
      frame.data = data.byteLength === data.buffer.byteLength ? data.buffer : data.slice().buffer;
      controller.enqueue(frame);
    },
  });
}

scope.onrtctransform = ({ transformer }) => {
  const { options, readable, writable } = transformer;
  const stage =
    options.side === 'send'
      ? transform((frame) => sealed(frame, options.scope), 'sealed')
      : transform((frame) => slotOf(options.slot).handle(new Uint8Array(frame.data), codec(frame, options.scope), peers, performance.now()), 'opened');
  if (options.side === 'send') senders.add(transformer);
  void readable
    .pipeThrough(stage)
    .pipeTo(writable)
    // The pipe ends with the transceiver; that is no error worth a report.
    .catch(() => undefined)
    .finally(() => senders.delete(transformer));
};

/** A new key begins with a key frame, for receivers that could open nothing before. */
function requestKeyFrames(): void {
  // Audio transformers refuse; there it is not needed.
  for (const transformer of senders) transformer.generateKeyFrame?.().catch(() => undefined);
}

function expect(slot: string, expectation: Expectation | null): void {
  slotOf(slot).expect(expectation);
}

async function handle(message: ToWorker): Promise<void> {
  switch (message.type) {
    case 'secret':
      own = new OwnKeys(message.secret, message.ratchetBits);
      peers = new PeerKeys(message.secret, message.ratchetBits);
      return;
    case 'member-keys':
      own = new OwnMemberKeys();
      peers = new MemberKeys();
      return;
    case 'prepare-key':
      return own instanceof OwnKeys ? own.prepare(message.index, message.salt) : undefined;
    case 'own-key':
      return own instanceof OwnMemberKeys ? own.prepare(message.index, message.key) : undefined;
    case 'use-key':
      await own?.use(message.index);
      scope.postMessage({ type: 'key-in-use', index: message.index, keyFrames: [...senders].every((sender) => sender.generateKeyFrame) });
      return;
    case 'key-frames':
      return requestKeyFrames();
    case 'ratchet':
      return own instanceof OwnKeys ? own.ratchet() : undefined;
    case 'peer-keys':
      return peers instanceof PeerKeys ? peers.set(message.participant, message.keys) : undefined;
    case 'member-key':
      return peers instanceof MemberKeys ? peers.set(message.owner, message.index, message.key) : undefined;
    case 'peer-gone':
      return peers?.remove(message.participant);
    case 'codecs':
      codecs.set(message.scope, message.byPayloadType);
      return;
    case 'expect':
      return expect(message.slot, message.expectation);
  }
}

// One after the other: `use-key` must find the key that `prepare-key` is still deriving.
let queue: Promise<void> = Promise.resolve();
scope.onmessage = ({ data }) => {
  queue = queue
    .then(() => handle(data))
    .catch((error: unknown) => scope.postMessage({ type: 'error', message: String(error) }));
};

setInterval(() => scope.postMessage({ type: 'counters', ...counters }), 1000);
