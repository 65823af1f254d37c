// What `@rust-sfu/client` exports. Everything else is inside.

export { Call, type CallEvents, type CallOptions, type CallState } from './call.ts';
export type { SignallingWay } from './line.ts';
export { CallError, type CallErrorCode } from './errors.ts';
export { devToken, socketUrl, type Access, type ByDevice } from './token.ts';
export type { Narrow, Socket } from './socket.ts';
export { rates, type Rates, type Reading, type StreamReading } from './stats.ts';
export { newSecret } from './e2ee/client.ts';
export { canEncrypt } from './e2ee/link.ts';
export { MemberKeysClient, type MemberEncryption } from './e2ee/member-client.ts';
export type { EncryptionState } from './e2ee/messages.ts';
export type { VideoCodec } from './encodings.ts';
export type { Publication } from './media.ts';
export type { RemoteParticipant } from './roster.ts';
export type { Wish } from './subscriptions.ts';
export type { KeySalt, Kind, LeaveReason, Pause, Score, Source, Track } from './wire.ts';
