// What the Matrix page says to a person.

import type { HistoryItem } from '../history.ts';
import { HomeserverError, type Trust } from '../homeserver.ts';
import type { OutgoingState } from '../room-session.ts';
import type { VerificationStep } from '../verification.ts';
import type { Reach } from '../ways.ts';

export const TRUST: Record<Trust, { readonly icon: string; readonly text: string }> = {
  verified: { icon: 'shield', text: 'Verified: you have verified this person, and this device is theirs' },
  signed: { icon: 'shield-plain', text: 'This device is signed by its owner. You have not verified the person yet' },
  unsigned: { icon: 'shield-off', text: 'This device is not signed by its owner: somebody else may be using the account' },
  unknown: { icon: 'shield-off', text: 'The homeserver does not know this device' },
};

/** What is said of how somebody is reached, behind his name. */
export function wayWord(reach: Reach | null): string {
  if (reach?.by === 'mesh') return ', directly';
  // Who has an address may still be reached without it; here it is about what the member event says.
  return reach?.by === 'focus' && reach.focus.url === null ? ', over Matrix messages' : '';
}

/** What a shield does when it is pressed. */
export const VERIFY = 'Click to verify';

export function verificationWords(step: VerificationStep, name: string): { readonly title: string; readonly text: string } {
  switch (step.is) {
    case 'asked':
      return { title: `Asking ${name}`, text: 'Both of you will see the same seven emojis, if nobody is between you.' };
    case 'asks':
      return { title: `${name} wants to verify you`, text: 'You will both see emojis. Compare them by voice in this call.' };
    case 'preparing':
      return { title: `Verifying ${name}`, text: 'The two devices agree on what to show.' };
    case 'compare':
      return { title: 'Do you both see these?', text: `Read them to ${name}. They must be the same, in the same order.` };
    case 'waiting':
      return { title: 'They match for you', text: `${name} has yet to say the same.` };
    case 'done':
      return { title: `${name} is verified`, text: 'From now on the shield says so, in each of your calls.' };
    case 'failed':
      return FAILED[step.why];
  }
}

const FAILED = {
  mismatch: { title: 'The emojis differ', text: 'Somebody may be between you. Nothing was verified: do not trust this device with secrets.' },
  cancelled: { title: 'Not verified', text: 'One of you stopped it. You can try again.' },
  timeout: { title: 'Not verified', text: 'It took too long. You can try again.' },
  error: { title: 'Not verified', text: 'The two devices did not understand each other. You can try again.' },
} as const;

const HISTORY = { started: 'started a call', joined: 'joined', left: 'left', lost: 'lost the connection', removed: 'was removed from the call' } as const;

/** What stands in a line of the history; `nameOf` a user. */
export function historyText(item: HistoryItem, nameOf: (user: string) => string): string {
  if (item.kind !== 'ended') return `${nameOf(item.user)} ${HISTORY[item.kind]}`;
  const minutes = Math.round(item.durationMs / 60_000);
  const time = minutes < 1 ? 'less than a minute' : minutes === 1 ? 'a minute' : minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
  return `The call ended after ${time}, with ${item.most === 1 ? 'one person' : `${item.most} people at most`}`;
}

export function outgoingWord(state: OutgoingState): string {
  return { none: '', ringing: 'Ringing…', accepted: '', declined: 'Declined', timed_out: 'No answer' }[state];
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
