// The signalling of one session, whichever way it goes: over a socket; or by the focus's device, and then over the data channel.

import type { Clock } from './clock.ts';
import { Signalling, webSocket } from './signalling.ts';
import type { Access, ByDevice } from './token.ts';
import { socketUrl } from './token.ts';
import { Carriage, type Path } from './todevice/carriage.ts';

/** How we and the focus talk now: over a WebSocket; by to-device messages; or, after those, over the media connection itself. */
export type SignallingWay = 'socket' | 'to-device' | 'channel';

export interface LineOptions {
  readonly access: Access | ByDevice;
  /** Instead of the address that came with the access. */
  readonly movedTo: string | undefined;
  /** For the statistics of the focus. */
  readonly client: string;
  readonly clock: Clock;
  /** The peer connection comes to nothing, and with it the session. */
  readonly failed: (detail: string) => void;
}

/** For an address, where there is another way. */
const TRY_MS = 6_000;

export class Line {
  readonly signalling: Signalling;
  /** What it is by, if not by a socket. */
  readonly device: ByDevice | null;
  /** If no socket is to be had. */
  readonly otherwise: ByDevice | null;
  readonly #carriage: Carriage | null = null;

  constructor({ access, movedTo, client, clock, failed }: LineOptions) {
    if ('openLink' in access) {
      const carriage = new Carriage({
        clock,
        openLink: access.openLink,
        move: (open) => this.signalling.moveTo(open),
        isOnLink: () => this.signalling.up && this.signalling.isNarrow,
        failed,
      });
      this.device = access;
      this.otherwise = null;
      this.#carriage = carriage;
      this.signalling = new Signalling({ connect: () => carriage.connect(), token: null, client, clock });
      this.signalling.on('ended', () => carriage.close());
    } else {
      const url = socketUrl(movedTo ?? access.url, location.href);
      this.device = null;
      this.otherwise = access.otherwise ?? null;
      this.signalling = new Signalling({ connect: () => webSocket(url), token: access.token, client, clock, ...(this.otherwise ? { joinMs: TRY_MS } : {}) });
    }
  }

  /** `null`: it is down. */
  get way(): SignallingWay | null {
    if (!this.signalling.up) return null;
    if (!this.#carriage) return 'socket';
    return this.signalling.isNarrow ? 'to-device' : 'channel';
  }

  /** Every message can be said now. */
  get isWide(): boolean {
    return this.signalling.up && !this.signalling.isNarrow;
  }

  /** It is up, and narrow: the data channel of this peer connection shall carry what follows. */
  linked(path: Path): void {
    this.#carriage?.linked(path);
  }

  /** It is up, and wide. */
  widened(): void {
    this.#carriage?.moved();
  }

  /** Something changed on the path. */
  checkPath(): void {
    this.#carriage?.check();
  }

  /** What goes over the media connection cannot tell how that is to be mended. */
  leavePath(why: string): void {
    if (this.#carriage && !this.signalling.isNarrow) this.signalling.interrupt(why);
  }

  /** Says goodbye, if there was a session. */
  leave(reason?: string): void {
    this.signalling.leave(reason);
  }
}
