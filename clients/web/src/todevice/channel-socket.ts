// A connection over the data channel `rust-sfu` of the peer connection itself, as a socket. The channel outlives it: a later
// connection on the same channel is another one of these.

import { CLOSE, type Socket } from '../socket.ts';
import { Assembly, BEGIN_FRAME, closeFrame, frames } from './frames.ts';

/** The part of `RTCDataChannel` that is used here. */
export interface Channel {
  readonly readyState: string;
  binaryType: string;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
}

export class ChannelSocket implements Socket {
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  readonly #channel: Channel;
  readonly #assembly = new Assembly();
  /** What came before the focus's own beginning is of a connection before this one. */
  #began = false;

  /** `channel`: open. */
  constructor(channel: Channel) {
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => (data instanceof ArrayBuffer ? this.#receive(new Uint8Array(data)) : undefined);
    channel.onclose = () => this.onclose?.({ code: CLOSE.timeout, reason: 'the data channel is closed' });
    this.#put([BEGIN_FRAME]);
    queueMicrotask(() => this.onopen?.(undefined as never));
  }

  send(text: string): void {
    this.#put(frames(text));
  }

  close(code: number = CLOSE.normal): void {
    this.#put([closeFrame(code)]);
  }

  #receive(data: Uint8Array): void {
    const frame = this.#assembly.handle(data);
    if (frame === null || frame === 'fault') return;
    if (frame.is === 'begin') this.#began = true;
    else if (!this.#began) return;
    else if (frame.is === 'text') this.onmessage?.({ data: frame.text });
    else this.onclose?.({ code: frame.code, reason: 'the focus closed the connection' });
  }

  #put(all: readonly Uint8Array<ArrayBuffer>[]): void {
    try {
      for (const frame of all) this.#channel.send(frame);
    } catch (error) {
      // It is closed, or takes no more.
      this.onclose?.({ code: CLOSE.timeout, reason: String(error) });
    }
  }
}
