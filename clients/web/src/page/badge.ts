// The overall encryption badge. It may promise no more than the tiles have shown.

import type { EncryptionState } from '../index.ts';
import { keyWord } from './words.ts';

export interface Overall {
  readonly state: EncryptionState | 'pending';
  readonly text: string;
  readonly detail: string;
}

export interface Facts {
  /** Whether we have a secret and encrypt what we send. */
  readonly encrypting: boolean;
  /** One per tile with tracks; `null` while nothing was received. */
  readonly tiles: readonly (EncryptionState | null)[];
  readonly namesWith: (state: EncryptionState) => string[];
}

function list(names: readonly string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names.slice(0, 2).join(', ')} and ${names.length - 2} others`;
}

export function overall({ encrypting, tiles, namesWith }: Facts): Overall {
  if (!encrypting) {
    const blind = tiles.includes('missing-key') ? ' Others encrypt, and you cannot see or hear them: your link lacks the secret behind “#”.' : '';
    return { state: 'off', text: 'Not end-to-end encrypted', detail: `The server could listen to you.${blind}` };
  }
  if (tiles.includes('failed')) {
    return { state: 'failed', text: 'Cannot decrypt', detail: `${list(namesWith('failed'))}: ${keyWord('differs')}` };
  }
  if (tiles.includes('missing-key')) {
    return { state: 'missing-key', text: 'Key missing', detail: `${list(namesWith('missing-key'))}: their key has not arrived.` };
  }
  if (tiles.includes('off')) {
    return { state: 'off', text: 'Partly encrypted', detail: `${list(namesWith('off'))} send without end-to-end encryption. What you send is encrypted.` };
  }
  if (!tiles.includes('ok')) {
    return { state: 'pending', text: 'You send encrypted', detail: 'Nothing has been received from others yet.' };
  }
  return { state: 'ok', text: 'End-to-end encrypted', detail: 'What you send is encrypted, and what you see and hear was decrypted here.' };
}
