// Devices of users who share no room with us. The SDK finds out the keys of such a device, but hands them to nobody who encrypts;
// what does both is inside of it, and this is the only file that reaches there.

import { UserId, type KeysQueryRequest } from '@matrix-org/matrix-sdk-crypto-wasm';
import type { CryptoApi } from 'matrix-js-sdk/lib/crypto-api/index.js';

/** Of `RustCrypto` in matrix-js-sdk 43. */
interface Inside {
  readonly olmMachine: {
    queryKeysForUsers(users: UserId[]): KeysQueryRequest;
    getUserDevices(user: UserId): Promise<{ devices(): readonly { readonly deviceId: { toString(): string }; readonly curve25519Key?: { toBase64(): string } | undefined; free(): void }[]; free(): void }>;
  };
  readonly outgoingRequestProcessor: { makeOutgoingRequest(request: KeysQueryRequest): Promise<void> };
}

/** Asks the user's homeserver, whatever is known. */
export async function learnDevices(crypto: CryptoApi, user: string): Promise<void> {
  const { olmMachine, outgoingRequestProcessor } = crypto as unknown as Inside;
  await outgoingRequestProcessor.makeOutgoingRequest(olmMachine.queryKeysForUsers([new UserId(user)]));
}

/** The user's device with this key, as far as it is known without asking anybody. */
export async function knownDevice(crypto: CryptoApi, user: string, curve25519: string): Promise<string | null> {
  const devices = await (crypto as unknown as Inside).olmMachine.getUserDevices(new UserId(user));
  const all = devices.devices();
  const found = all.find(({ curve25519Key }) => curve25519Key?.toBase64() === curve25519)?.deviceId.toString() ?? null;
  // They hold on to the store.
  for (const device of all) device.free();
  devices.free();
  return found;
}
