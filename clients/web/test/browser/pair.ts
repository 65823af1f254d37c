// Runs in a browser: two peer connections in one page with our worker between them, one codec at a time.

import { EncryptionClient, codecsOfSdp } from '../../src/e2ee/client.ts';
import type { EncryptionState } from '../../src/e2ee/messages.ts';
import { encodingsFor, chooseCodecs, type VideoCodec } from '../../src/encodings.ts';

export interface Outcome {
  framesDecoded: number;
  framesEncoded: number;
  keyFramesDecoded: number;
  audioBytesHeard: number;
  states: Record<string, EncryptionState>;
  codec: string;
}

export interface Case {
  readonly codec: VideoCodec;
  readonly senderSecret: string;
  readonly receiverSecret: string | null;
  readonly announced: boolean;
  /** Done once so many frames are decoded, or when the time is over. */
  readonly frames: number;
  readonly deadlineMs: number;
  /** Change the key after this many decoded frames. */
  readonly rotateAt?: number;
}

function supported(codec: VideoCodec): boolean {
  const has = (side: RTCRtpCapabilities | null): boolean => (side?.codecs ?? []).some(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
  return has(RTCRtpSender.getCapabilities('video')) && has(RTCRtpReceiver.getCapabilities('video'));
}

async function numbers(pc: RTCPeerConnection): Promise<{ decoded: number; encoded: number; keys: number; heard: number; codec: string }> {
  const result = { decoded: 0, encoded: 0, keys: 0, heard: 0, codec: '' };
  const report = await pc.getStats();
  report.forEach((entry: Record<string, unknown>) => {
    if (entry['type'] === 'inbound-rtp' && entry['kind'] === 'video') {
      result.decoded += Number(entry['framesDecoded'] ?? 0);
      result.keys += Number(entry['keyFramesDecoded'] ?? 0);
      const codec = report.get(String(entry['codecId'])) as { mimeType?: string } | undefined;
      result.codec = codec?.mimeType ?? '';
    }
    // Concealed samples are what is played when nothing was decoded.
    if (entry['type'] === 'inbound-rtp' && entry['kind'] === 'audio') {
      result.heard += Number(entry['totalSamplesReceived'] ?? 0) - Number(entry['concealedSamples'] ?? 0);
    }
    if (entry['type'] === 'outbound-rtp' && entry['kind'] === 'video') result.encoded += Number(entry['framesEncoded'] ?? 0);
  });
  return result;
}

async function run(test: Case): Promise<Outcome | null> {
  if (!supported(test.codec)) return null;
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360, frameRate: 30 } });
  const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
  const sender = new EncryptionClient(new Worker('/worker.js'), test.senderSecret, 0);
  const receiver = new EncryptionClient(new Worker('/worker.js'), test.receiverSecret, 0);
  const states: Record<string, EncryptionState> = {};
  receiver.on('state', ({ track, state }) => (states[track] = state));
  from.onicecandidate = ({ candidate }) => void to.addIceCandidate(candidate ?? undefined);
  to.onicecandidate = ({ candidate }) => void from.addIceCandidate(candidate ?? undefined);
  to.ontrack = ({ track, receiver: rtpReceiver }) => {
    receiver.protectReceiver(rtpReceiver, track.kind);
    receiver.expect(track.kind, { owner: 'p', track: track.kind, encrypted: test.announced });
    const element = document.createElement(track.kind as 'audio' | 'video');
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
  };
  const { index, keys } = sender.newKey();
  sender.useKey(index);
  receiver.setPeerKeys('p', keys);
  for (const track of stream.getTracks()) {
    const source = track.kind === 'audio' ? 'microphone' : 'camera';
    const sendEncodings = encodingsFor({ source, width: 640, height: 360, codec: test.codec, simulcast: false, scalable: true });
    const transceiver = from.addTransceiver(track, { direction: 'sendonly', sendEncodings });
    sender.protectSender(transceiver.sender, source);
    if (track.kind === 'video') transceiver.setCodecPreferences(chooseCodecs(RTCRtpReceiver.getCapabilities('video')?.codecs ?? [], test.codec));
  }
  await from.setLocalDescription();
  await to.setRemoteDescription(from.localDescription as RTCSessionDescription);
  await to.setLocalDescription();
  await from.setRemoteDescription(to.localDescription as RTCSessionDescription);
  const codecs = codecsOfSdp(`${from.localDescription?.sdp ?? ''}\n${to.localDescription?.sdp ?? ''}`);
  sender.setCodecs(codecs);
  receiver.setCodecs(codecs);

  const deadline = performance.now() + test.deadlineMs;
  let rotated = test.rotateAt === undefined;
  let now = await numbers(to);
  while (performance.now() < deadline && (now.decoded < test.frames || now.heard < 48_000 / 2)) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    now = await numbers(to);
    if (!rotated && now.decoded >= (test.rotateAt ?? 0)) {
      rotated = true;
      const next = sender.newKey();
      receiver.setPeerKeys('p', next.keys);
      sender.useKey(next.index);
    }
  }
  const sent = await numbers(from);
  from.close();
  to.close();
  sender.close();
  receiver.close();
  for (const track of stream.getTracks()) track.stop();
  document.body.replaceChildren();
  return { framesDecoded: now.decoded, framesEncoded: sent.encoded, keyFramesDecoded: now.keys, audioBytesHeard: now.heard, states, codec: now.codec };
}

(window as unknown as { runCase: typeof run }).runCase = run;
