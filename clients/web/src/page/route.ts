// What the address says. The fragment holds the secret, and browsers never send it to a server.

import type { VideoCodec } from '../index.ts';

export interface Route {
  /** `null`: the landing page. */
  readonly room: string | null;
  readonly name: string | null;
  readonly autojoin: boolean;
  readonly secret: string | null;
  readonly codec: VideoCodec;
  readonly simulcast: boolean;
  readonly video: { readonly width: number; readonly height: number; readonly fps: number };
}

const CODECS: readonly VideoCodec[] = ['vp8', 'vp9', 'av1', 'h264'];
const DEFAULT_VIDEO = { width: 1280, height: 720, fps: 30 };

/** `320x180@15`; the frame rate may be missing. */
export function parseVideo(text: string | null): Route['video'] {
  const match = /^(\d{2,4})x(\d{2,4})(?:@(\d{1,3}))?$/.exec(text ?? '');
  if (!match) return DEFAULT_VIDEO;
  return { width: Number(match[1]), height: Number(match[2]), fps: Number(match[3] ?? DEFAULT_VIDEO.fps) };
}

export function parseRoute(href: string): Route {
  const url = new URL(href);
  const segment = /^\/call\/([^/]+)\/?$/.exec(url.pathname)?.[1];
  const codec = CODECS.find((known) => known === url.searchParams.get('codec')?.toLowerCase());
  return {
    room: segment === undefined ? null : decode(segment),
    name: url.searchParams.get('name')?.trim() || null,
    autojoin: url.searchParams.get('autojoin') === '1',
    secret: url.hash.length > 1 ? url.hash.slice(1) : null,
    codec: codec ?? 'vp8',
    simulcast: url.searchParams.get('simulcast') !== '0',
    video: parseVideo(url.searchParams.get('video')),
  };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
