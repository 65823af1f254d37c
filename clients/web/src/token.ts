// The token service of a focus in `--dev` mode. Deployments with accounts bring their own `token` function.

import { CallError } from './errors.ts';
import type { Socket } from './socket.ts';

export interface Access {
  readonly token: string;
  /** Address of the signalling socket; may be relative to the page. */
  readonly url: string;
  /** For when nothing answers there. */
  readonly otherwise?: ByDevice | null;
}

/** A focus that is reached without a socket, by to-device messages. There is no token: it knows the device that they come from. */
export interface ByDevice {
  /** Begins another link to the focus's device. */
  readonly openLink: () => Socket;
}

export async function devToken(conference: string, name: string): Promise<Access> {
  let response: Response;
  try {
    response = await fetch('/dev/token', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ conference, name }),
    });
  } catch (error) {
    throw new CallError('unreachable', String(error));
  }
  const body = (await response.json().catch(() => ({}))) as { token?: unknown; url?: unknown; error?: unknown };
  if (response.status === 404) throw new CallError('no-token-service', String(body.error ?? 'not found'));
  if (response.status >= 500) throw new CallError('unreachable', `status ${response.status}`);
  if (!response.ok || typeof body.token !== 'string' || typeof body.url !== 'string') {
    throw new CallError('token-refused', String(body.error ?? `status ${response.status}`));
  }
  return { token: body.token, url: body.url };
}

/** `/rtc/v1` → `wss://this.host/rtc/v1`. */
export function socketUrl(url: string, base: string): string {
  const absolute = new URL(url, base);
  absolute.protocol = absolute.protocol.replace(/^http/, 'ws');
  return absolute.href;
}
