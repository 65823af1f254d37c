// What the address of the page says. It all stands in the fragment, which browsers never send to a server, and which is
// taken out of the address bar at once: it holds a login.

import type { Profile } from './legacy-member.ts';
import type { MemberFormat } from './member-format.ts';

export interface Login {
  readonly homeserver: string;
  readonly user: string;
  readonly device: string | null;
  readonly token: string | null;
  readonly password: string | null;
  /** Make cross-signing keys if the account has none; only for accounts that live as long as a demonstration. */
  readonly crossSign: boolean;
}

export interface MatrixRoute {
  readonly login: Login | null;
  readonly room: string | null;
  readonly join: boolean;
  /** Offer to send media directly while there are two of us. */
  readonly mesh: boolean;
  /** Let the focus restart the last will. */
  readonly delegate: boolean;
  /** How our member event is written, if the homeserver can. */
  readonly format: MemberFormat;
  /** Written only for those that know `rust_sfu`. */
  readonly profile: Profile;
}

export function parseMatrixRoute(fragment: string): MatrixRoute {
  const words = new URLSearchParams(fragment.replace(/^#/, ''));
  const word = (name: string): string | null => words.get(name)?.trim() || null;
  const homeserver = homeserverUrl(word('homeserver'));
  const user = word('user');
  const [token, password] = [word('token'), word('password')];
  const usable = homeserver !== null && user !== null && (token !== null ? word('device') !== null : password !== null);
  return {
    login: usable ? { homeserver, user, device: word('device'), token, password, crossSign: word('crosssign') === '1' } : null,
    room: word('room'),
    join: word('join') === '1',
    mesh: word('mesh') === '1',
    delegate: word('delegate') === '1',
    format: word('member') === 'sticky' ? 'sticky' : 'state',
    profile: word('profile') === 'pure' ? 'pure' : 'interop',
  };
}

function homeserverUrl(text: string | null): string | null {
  try {
    const url = new URL(text ?? '');
    return url.protocol === 'https:' || url.protocol === 'http:' ? url.href.replace(/\/$/, '') : null;
  } catch {
    return null;
  }
}
