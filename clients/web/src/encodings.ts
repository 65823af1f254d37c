// How a published video is encoded: which codec, and in which simulcast layers.

import type { Kind, Source } from './wire.ts';

export type VideoCodec = 'vp8' | 'vp9' | 'av1' | 'h264';

export interface EncodingChoice {
  readonly source: Source;
  readonly width: number;
  readonly height: number;
  readonly codec: VideoCodec;
  readonly simulcast: boolean;
  /** Whether `scalabilityMode` does something here. Without it VP9 and AV1 send only one of the layers. */
  readonly scalable: boolean;
}

/** Bits per second that look good for a frame of this size; sub-linear, as larger pictures have more that repeats. */
function bitrate(pixels: number): number {
  const at720p = 1_700_000;
  return Math.round((at720p * (pixels / (1280 * 720)) ** 0.75) / 1000) * 1000;
}

/** Simulcast layers, smallest first. Browsers send no layer below a quarter of 960 × 540, nor a half of 640 × 360. */
function layers(longSide: number): { rid: string; scale: number }[] {
  const full = { rid: 'f', scale: 1 };
  const half = { rid: 'h', scale: 2 };
  const quarter = { rid: 'q', scale: 4 };
  if (longSide >= 960) return [quarter, half, full];
  return longSide >= 640 ? [half, full] : [];
}

export function encodingsFor(choice: EncodingChoice): RTCRtpEncodingParameters[] {
  const { source, width, height, codec } = choice;
  const pixels = width * height;
  if (source === 'microphone') return [{ maxBitrate: 40_000 }];
  if (source === 'screen_audio') return [{ maxBitrate: 96_000 }];
  // Text must stay readable, and a still screen costs next to nothing anyway.
  if (source === 'screen') return [{ maxBitrate: 2_500_000 }];
  const modern = codec === 'vp9' || codec === 'av1';
  const chosen = choice.simulcast && (!modern || choice.scalable) ? layers(Math.max(width, height)) : [];
  if (chosen.length === 0) return [{ maxBitrate: bitrate(pixels) }];
  return chosen.map(({ rid, scale }) => ({
    rid,
    scaleResolutionDownBy: scale,
    maxBitrate: bitrate(pixels / (scale * scale)),
    ...(modern ? { scalabilityMode: 'L1T1' } : {}),
  }));
}

/** What comes with any codec: retransmission and the like. */
const REPAIR = new Set(['video/rtx', 'video/red', 'video/ulpfec', 'video/flexfec-03']);

/**
 * The wanted codec alone, in its plainest form first. Alone, because a sender takes the first codec of the *answer*, and
 * the focus need not keep our order. Without the codec in this browser: everything, in the browser's own order.
 */
export function chooseCodecs<C extends { mimeType: string; sdpFmtpLine?: string }>(codecs: readonly C[], wanted: VideoCodec): C[] {
  const name = (codec: C): string => codec.mimeType.toLowerCase();
  if (!codecs.some((codec) => name(codec) === `video/${wanted}`)) return [...codecs];
  // Baseline with packetization mode 1 is what every browser decodes; likewise VP9 profile 0.
  const odd = (codec: C): boolean => /packetization-mode=0|profile-id=[^0]/.test(codec.sdpFmtpLine ?? '');
  const chosen = codecs.filter((codec) => name(codec) === `video/${wanted}`);
  return [...chosen.filter((codec) => !odd(codec)), ...chosen.filter(odd), ...codecs.filter((codec) => REPAIR.has(name(codec)))];
}

/** What the focus forwards: these formats, and of the profiles only those that a camera is sent in. */
const FORWARDED = new Set(['audio/opus', 'video/vp8', 'video/vp9', 'video/h264', 'video/av1', 'video/rtx']);
const NEVER_SENT = /\b(profile-id|profile)=[^0]|profile-level-id=f4/;

/** What a slot takes: whatever a publisher may send, and nothing that only makes an offer of many slots larger. */
export function receivable<C extends { mimeType: string; sdpFmtpLine?: string }>(codecs: readonly C[]): C[] {
  return codecs.filter((codec) => FORWARDED.has(codec.mimeType.toLowerCase()) && !NEVER_SENT.test(codec.sdpFmtpLine ?? ''));
}

export function takeForwarded(transceiver: RTCRtpTransceiver, kind: Kind): void {
  try {
    transceiver.setCodecPreferences(receivable(RTCRtpReceiver.getCapabilities(kind)?.codecs ?? []));
  } catch (error) {
    // Then the slot takes everything.
    console.warn('codecs of a slot refused', error);
  }
}

export function preferCodec(transceiver: RTCRtpTransceiver, wanted: VideoCodec): void {
  try {
    transceiver.setCodecPreferences(chooseCodecs(RTCRtpSender.getCapabilities('video')?.codecs ?? [], wanted));
  } catch (error) {
    // Then the browser's own order stands.
    console.warn('codec preference refused', error);
  }
}

/** Firefox takes `scalabilityMode` and ignores it. */
export function supportsScalability(): boolean {
  return !/\bFirefox\//.test(navigator.userAgent);
}
