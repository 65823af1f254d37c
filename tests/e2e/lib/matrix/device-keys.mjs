// Keys of a device that nobody is at: enough to be known as a device, and no one-time keys, so that no Olm session can be made.

import { generateKeyPairSync, sign } from 'node:crypto';

const unpadded = (bytes) => Buffer.from(bytes).toString('base64').replace(/=+$/, '');
const raw = ({ publicKey }) => Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url');

/** Keys sorted, as everybody signs them. There is nothing else in here that canonical JSON would care about. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`;
}

/** Uploads them for the device that `user` is logged in on. */
export async function uploadBareDevice(user) {
  const [signing, identity] = [generateKeyPairSync('ed25519'), generateKeyPairSync('x25519')];
  const keys = { [`ed25519:${user.device}`]: unpadded(raw(signing)), [`curve25519:${user.device}`]: unpadded(raw(identity)) };
  const device = { user_id: user.id, device_id: user.device, algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'], keys };
  const signature = unpadded(sign(null, Buffer.from(canonical(device)), signing.privateKey));
  await user.call('POST', '/v3/keys/upload', { device_keys: { ...device, signatures: { [user.id]: { [`ed25519:${user.device}`]: signature } } } });
}
