// What `@rust-sfu/client` exports. Everything else is inside.

export { Call, type CallEvents, type CallOptions, type CallState } from './call.ts';
export { CallError, type CallErrorCode } from './errors.ts';
export { devToken, socketUrl, type Access } from './token.ts';
export { rates, type Rates, type Reading, type StreamReading } from './stats.ts';
export { canEncrypt, newSecret } from './e2ee/client.ts';
export type { EncryptionState } from './e2ee/messages.ts';
export type { VideoCodec } from './encodings.ts';
export type { Publication } from './media.ts';
export type { RemoteParticipant } from './roster.ts';
export type { Wish } from './subscriptions.ts';
export type { KeySalt, Kind, LeaveReason, Pause, Score, Source, Track } from './wire.ts';
