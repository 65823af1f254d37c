// What the Matrix page says to a person.

import type { HistoryLine } from '../history.ts';
import { HomeserverError, type Trust } from '../homeserver.ts';
import type { OutgoingState } from '../ringing.ts';

export const TRUST: Record<Trust, { readonly icon: string; readonly text: string }> = {
  verified: { icon: 'shield', text: 'Verified: you have verified this person, and this device is theirs' },
  signed: { icon: 'shield-plain', text: 'This device is signed by its owner. You have not verified the person yet' },
  unsigned: { icon: 'shield-off', text: 'This device is not signed by its owner: somebody else may be using the account' },
  unknown: { icon: 'shield-off', text: 'The homeserver does not know this device' },
};

export function historyWord(line: HistoryLine): string {
  return { joined: 'joined', left: 'left', lost: 'lost the connection' }[line.kind];
}

export function outgoingWord(state: OutgoingState): string {
  return { none: '', ringing: 'Ringing…', answered: '', declined: 'Declined', unanswered: 'No answer' }[state];
}

/** Why signing in, or getting into the room, did not work. */
export function matrixProblem(error: unknown): string {
  if (!(error instanceof HomeserverError)) return 'Something went wrong while signing in. Reload the page to try again.';
  switch (error.errcode) {
    case 'M_UNREACHABLE':
      return 'The homeserver does not answer. Check its address and your network.';
    case 'M_UNKNOWN_TOKEN':
      return 'This sign-in is no longer valid.';
    case 'M_FORBIDDEN':
      return 'The homeserver does not accept this user and password, or does not let you into the room.';
    case 'ORG_RUST_SFU_DEVICE_ELSEWHERE':
      return 'This sign-in belongs to another browser, which has its keys. Sign in with your password instead.';
    case 'M_LIMIT_EXCEEDED':
      return 'Too many attempts. Wait a little and try again.';
    case 'M_NOT_FOUND':
      return 'There is no such room, or it is not known to your homeserver.';
    default:
      return `The homeserver refused: ${error.message}`;
  }
}

export function joinedNames(names: readonly string[]): string {
  if (names.length === 0) return 'Nobody is in the call yet. Joining rings the others in the room.';
  const shown = names.slice(0, 3).join(', ');
  return `In the call: ${names.length > 3 ? `${shown} and ${names.length - 3} more` : shown}`;
}
