// What an application gives a call, and hears of it.

import type { MemberEncryption } from './e2ee/member-client.ts';
import type { EncryptionState } from './e2ee/messages.ts';
import type { VideoCodec } from './encodings.ts';
import type { CallError } from './errors.ts';
import type { RemoteParticipant } from './roster.ts';
import type { Access, ByDevice } from './token.ts';
import type { Delegation, LeaveReason, Pause, ServerBody, Track } from './wire.ts';

export interface CallOptions {
  /** Gets the right to join. Called again for each fresh join; throw a {@link CallError} to say why there is none. */
  readonly token: () => Promise<Access | ByDevice>;
  /** The secret that the participants share. Without it nothing is encrypted end to end. */
  readonly secret?: string | null;
  /** Instead of a secret: members have keys of their own, found by the `identity` of participants. Nothing plays in clear. */
  readonly members?: MemberEncryption;
  /** Makes the encryption worker: `new Worker(url of "@rust-sfu/client/worker", { type: 'module' })`. Not asked for with `members`. */
  readonly worker: () => Worker;
  readonly codec?: VideoCodec;
  readonly simulcast?: boolean;
  readonly iceServers?: RTCIceServer[];
  /** How long a new key is announced before it is used. */
  readonly keyUseDelayMs?: number;
  /** `R` of RFC 9605 §5.1; all participants must agree. 0: keys are replaced, never ratcheted. */
  readonly ratchetBits?: number;
  /** For the statistics of the focus. */
  readonly client?: string;
}

export type CallState = 'idle' | 'joining' | 'joined' | 'reconnecting' | 'ended';

export interface CallEvents {
  state: CallState;
  'participant-joined': RemoteParticipant;
  'participant-updated': RemoteParticipant;
  'participant-left': { participant: RemoteParticipant; reason: LeaveReason };
  'track-added': { participant: RemoteParticipant; track: Track };
  'track-changed': { participant: RemoteParticipant; track: Track };
  'track-removed': { participant: RemoteParticipant; track: Track };
  /** Play this. It may carry something else after `media-ended`. */
  media: { participant: RemoteParticipant; track: Track; media: MediaStreamTrack };
  'media-ended': { track: string };
  /** Why a subscribed track shows nothing just now; `null`: it flows. */
  paused: { track: string; paused: Pause | null; rid: string | null };
  speakers: readonly { participant: string; level: number }[];
  encryption: { participant: string; track: string; state: EncryptionState };
  /** Our own connection as the focus sees it comes with the others, under our own id. */
  quality: ServerBody<'quality'>['participants'];
  /** What became of a delayed leave event that the focus was asked to look after. */
  delegated: { state: Delegation };
  warning: { message: string };
  ended: { error: CallError };
}
