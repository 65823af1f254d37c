// What the page says to a person when something goes wrong.

import type { CallErrorCode, EncryptionState, Pause, SignallingWay } from '../index.ts';

/** Where the keys of this page's calls come from; what is said about missing ones depends on it. */
export type KeySource = 'link' | 'members';
let keySource: KeySource = 'link';

export function useKeySource(source: KeySource): void {
  keySource = source;
}

const KEY_WORDS = {
  link: {
    missing: 'Cannot decrypt: the key is missing. Your link may lack the secret.',
    failed: 'Cannot decrypt: the link’s secret differs',
    differs: 'the link’s secret differs from yours.',
  },
  members: {
    missing: 'Waiting for this device’s key',
    failed: 'Cannot decrypt: the frames do not belong to this device’s key',
    differs: 'what arrives does not open with their key.',
  },
} as const;

export function keyWord(word: keyof (typeof KEY_WORDS)['link']): string {
  return KEY_WORDS[keySource][word];
}

type Device = 'microphone' | 'camera' | 'screen';

/** Names of `DOMException`s that `getUserMedia` and `getDisplayMedia` throw. */
export function deviceProblem(device: Device, error: unknown): string {
  const name = error instanceof DOMException ? error.name : '';
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return device === 'screen'
        ? 'The screen is not shared: you, or this browser, did not allow it.'
        : `The ${device} may not be used. Allow it in the browser’s address bar, then switch it on again.`;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return `No ${device} was found. Others will not ${device === 'microphone' ? 'hear' : 'see'} you until you plug one in.`;
    case 'NotReadableError':
    case 'AbortError':
      return `The ${device} does not start. Another program may be using it.`;
    default:
      return `The ${device} could not be opened.`;
  }
}

/** How this page and the server talk, for who looks at the statistics. */
export function signallingWord(way: SignallingWay | null): string {
  switch (way) {
    case null:
      return '';
    case 'socket':
      return 'Signalling: over a WebSocket to the server';
    case 'to-device':
      return 'Signalling: over Matrix messages, until media get through';
    case 'channel':
      return 'Signalling: begun over Matrix messages, now beside the media';
  }
}

export function ending(code: CallErrorCode): { title: string; text: string } {
  switch (code) {
    case 'left':
      return { title: 'You left the call', text: 'The link stays valid: you can join again.' };
    case 'unreachable':
      return { title: 'The server does not answer', text: 'Check your network. If it is fine, the server may be down.' };
    case 'token-refused':
      return { title: 'The server did not let you in', text: 'Your access was refused or has run out. Reload the page to ask again.' };
    case 'no-token-service':
      return { title: 'No guests here', text: 'This server does not hand out access to this page. Join from your chat application.' };
    case 'removed':
      return { title: 'The call ended for you', text: 'The server ended your participation, or you are no longer a member of the room.' };
    case 'replaced':
      return { title: 'You joined somewhere else', text: 'The same account joined this call from another window or device, so this one was ended.' };
    case 'protocol':
      return { title: 'This page and the server do not understand each other', text: 'One of them may be out of date. Reload the page.' };
    case 'cannot-encrypt':
      return { title: 'This browser cannot encrypt', text: 'This call is end-to-end encrypted, which needs a newer browser.' };
    case 'no-webrtc':
      return { title: 'This browser cannot make calls', text: 'It has no WebRTC, or it is switched off.' };
  }
}

/** What stands on a tile, if anything. What cannot be decrypted comes first: waiting will not help against that. */
export function tileNote(encryption: { state: EncryptionState | null; text: string }, paused: Iterable<Pause | null>): string {
  if (encryption.state === 'failed' || encryption.state === 'missing-key') return encryption.text;
  return [...paused].includes('bandwidth') ? 'Video is paused: your connection is slow' : '';
}
