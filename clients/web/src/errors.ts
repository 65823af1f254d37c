// Why a call could not be joined, or ended. `code` is for programs; showing it to a person is the page's job.

export type CallErrorCode =
  | 'unreachable'
  | 'token-refused'
  /** The focus gives no tokens to this page (`--dev` is off). */
  | 'no-token-service'
  | 'removed'
  | 'replaced'
  | 'protocol'
  /** No encoded transforms: this browser cannot take part in an encrypted call. */
  | 'cannot-encrypt'
  | 'no-webrtc'
  | 'left';

export class CallError extends Error {
  override readonly name = 'CallError';
  readonly code: CallErrorCode;

  constructor(code: CallErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
