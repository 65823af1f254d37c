// Encoded frames as they were before encryption at the sender, and as the focus forwarded them to a receiver.
//
// Both are the input of the page's own encryption worker: at a sender it reads what the encoder made, at a receiver what
// came off the network. So the worker's script is served with a few lines in front that copy each frame it is handed,
// and is otherwise the real one. When a page sends without encryption it uses no transform for sending; then `recordClear`
// adds one that only copies.

const CHANNEL = 'e2e-frames';

/** Runs in the worker before the page's own code. */
function copyFrames(channelName) {
  const channel = new BroadcastChannel(channelName);
  const { get } = Object.getOwnPropertyDescriptor(RTCTransformEvent.prototype, 'transformer');
  const wrapped = new WeakMap();
  // Keys that members give each other (in Matrix). A shared secret is not copied.
  addEventListener('message', ({ data }) => {
    if (data?.type === 'own-key' || data?.type === 'member-key') channel.postMessage({ owner: data.owner ?? null, index: data.index, key: data.key });
  });
  Object.defineProperty(RTCTransformEvent.prototype, 'transformer', {
    get() {
      const real = get.call(this);
      if (!wrapped.has(real)) {
        const copy = new TransformStream({
          transform(frame, controller) {
            const { mimeType, payloadType } = frame.getMetadata();
            channel.postMessage({ side: real.options.side, mimeType, payloadType, bytes: new Uint8Array(frame.data.slice(0)) });
            controller.enqueue(frame);
          },
        });
        const readable = real.readable.pipeThrough(copy);
        wrapped.set(real, { readable, writable: real.writable, options: real.options, generateKeyFrame: (rid) => real.generateKeyFrame(rid) });
      }
      return wrapped.get(real);
    },
  });
}

/** Runs in the page: collects what the workers copied. */
function collect({ channelName, clearWorker }) {
  const FRAMES_MAX = 2000;
  window.e2eFrames = [];
  window.e2eKeys = [];
  new BroadcastChannel(channelName).onmessage = ({ data }) => {
    if (data.key) window.e2eKeys.push(data);
    else if (window.e2eFrames.length < FRAMES_MAX) window.e2eFrames.push(data);
  };
  if (!clearWorker) return;
  const worker = new Worker(URL.createObjectURL(new Blob([clearWorker], { type: 'text/javascript' })));
  const { addTransceiver } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.addTransceiver = function (...args) {
    const transceiver = addTransceiver.apply(this, args);
    if (args[1]?.direction === 'sendonly') transceiver.sender.transform = new RTCRtpScriptTransform(worker, { side: 'send' });
    return transceiver;
  };
}

const passOn = () => {
  onrtctransform = ({ transformer }) => void transformer.readable.pipeTo(transformer.writable);
};

/** For an opened participant, before it goes to the link. `clear`: it sends without encryption. */
export async function record(participant, { clear = false } = {}) {
  const prelude = `(${copyFrames})(${JSON.stringify(CHANNEL)});\n`;
  await participant.context.route('**/e2ee-worker-*.js', async (route) => {
    const script = await (await fetch(route.request().url())).text();
    await route.fulfill({ contentType: 'text/javascript', body: prelude + script });
  });
  await participant.context.addInitScript(collect, { channelName: CHANNEL, clearWorker: clear ? `${prelude}(${passOn})();` : null });
}

/** `[{ side, mimeType, bytes }]` */
export async function recorded(participant) {
  const frames = await participant.evaluate(() =>
    window.e2eFrames.map(({ side, mimeType, payloadType, bytes }) => {
      let binary = '';
      for (const byte of bytes) binary += String.fromCharCode(byte);
      return { side, mimeType, payloadType, base64: btoa(binary) };
    }),
  );
  return frames.map(({ base64, ...rest }) => ({ ...rest, bytes: Buffer.from(base64, 'base64') }));
}

/** The keys of the others that a page was given: `[{ owner, index, key }]`. */
export async function recordedKeys(participant) {
  const keys = await participant.evaluate(() => window.e2eKeys.map(({ owner, index, key }) => ({ owner, index, key: [...key] })));
  return keys.filter(({ owner }) => owner !== null).map(({ key, ...rest }) => ({ ...rest, key: Buffer.from(key) }));
}

/** Forgets the frames of before. */
export const recordAnew = (participant) => participant.evaluate(() => void (window.e2eFrames.length = 0));

/**
 * Where a run of `RUN` bytes of `known` appears in one of `heaps`: the number of such places.
 * A run of one and the same byte does not count: padding looks alike everywhere.
 */
export const RUN = 16;
export function commonRuns(known, heaps) {
  const windows = new Set();
  for (const bytes of known) {
    for (let at = 0; at + RUN <= bytes.length; at++) {
      const run = bytes.latin1Slice(at, at + RUN);
      if (new Set(run).size > 4) windows.add(run);
    }
  }
  let hits = 0;
  for (const bytes of heaps) {
    for (let at = 0; at + RUN <= bytes.length; at++) if (windows.has(bytes.latin1Slice(at, at + RUN))) hits++;
  }
  return { hits, windows: windows.size };
}
