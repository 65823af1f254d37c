// Messages of the dialect on a data channel, as `crates/focus-signaling/src/channel.rs` has them: one byte for the kind, then the
// payload. Large messages go in parts; a frame of its own closes a connection, and another begins one.

const MORE = 0;
const LAST = 1;
const CLOSE = 2;
const BEGIN = 3;
/** What every stack carries (RFC 8831 §6.6), and other streams do not wait long behind it. */
export const PART_BYTES_MAX = 16 * 1024 - 1;
/** Larger ones of a focus are passed over: it tells everything about everybody in a fraction of this. */
export const ASSEMBLED_BYTES_MAX = 4 * 1024 * 1024;

const utf8 = new TextEncoder();
/** It leaves nothing out, and makes nothing up. */
const words = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const BEGIN_FRAME: Uint8Array<ArrayBuffer> = Uint8Array.of(BEGIN);

export function closeFrame(code: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(CLOSE, (code >> 8) & 0xff, code & 0xff);
}

export function frames(text: string): Uint8Array<ArrayBuffer>[] {
  const bytes = utf8.encode(text);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < bytes.length; at += PART_BYTES_MAX) {
    const part = bytes.subarray(at, at + PART_BYTES_MAX);
    const frame = new Uint8Array(part.length + 1);
    frame[0] = at + PART_BYTES_MAX < bytes.length ? MORE : LAST;
    frame.set(part, 1);
    parts.push(frame);
  }
  return parts;
}

export type Frame = { readonly is: 'text'; readonly text: string } | { readonly is: 'close'; readonly code: number } | { readonly is: 'begin' };

/** Puts parts together. */
export class Assembly {
  readonly #most: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  /** The message under way is too large. */
  #skipping = false;

  constructor(most = ASSEMBLED_BYTES_MAX) {
    this.#most = most;
  }

  /** The next message of the channel. `null`: more follows; `'fault'`: it is no frame, or too large. */
  handle(data: Uint8Array): Frame | 'fault' | null {
    const [kind, high, low] = data;
    switch (kind) {
      case MORE:
        return this.#add(data.subarray(1)) ? null : 'fault';
      case LAST:
        return this.#last(data.subarray(1));
      case CLOSE:
        if (high === undefined || low === undefined) return 'fault';
        this.#reset();
        return { is: 'close', code: (high << 8) | low };
      case BEGIN:
        this.#reset();
        return { is: 'begin' };
      default:
        return 'fault';
    }
  }

  #last(part: Uint8Array): Frame | 'fault' | null {
    const wasSkipping = this.#skipping;
    const fits = this.#add(part);
    const whole = new Uint8Array(this.#bytes);
    let at = 0;
    for (const piece of this.#parts) {
      whole.set(piece, at);
      at += piece.length;
    }
    this.#reset();
    if (wasSkipping) return null;
    if (!fits) return 'fault';
    try {
      return { is: 'text', text: words.decode(whole) };
    } catch {
      return 'fault';
    }
  }

  #add(part: Uint8Array): boolean {
    if (this.#skipping) return true;
    if (this.#bytes + part.length > this.#most) {
      this.#reset();
      this.#skipping = true;
      return false;
    }
    this.#parts.push(part);
    this.#bytes += part.length;
    return true;
  }

  #reset(): void {
    this.#parts = [];
    this.#bytes = 0;
    this.#skipping = false;
  }
}
