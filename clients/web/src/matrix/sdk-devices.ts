// Which device an event was encrypted by. Olm has brought the key with which it was opened, and a device has to be found for it: that
// takes a moment, and then whoever asked is told to ask again.

import type { MatrixClient, MatrixEvent } from 'matrix-js-sdk';

export class SenderDevices {
  readonly #client: MatrixClient;
  readonly #known = new Map<string, string>();
  readonly #asked = new Set<string>();
  readonly #listeners = new Set<() => void>();

  constructor(client: MatrixClient) {
    this.#client = client;
  }

  /** `undefined`: it came in clear, or it is not known yet. */
  of(event: MatrixEvent): string | undefined {
    const [user, key] = [event.getSender(), event.getSenderKey()];
    if (!event.isEncrypted() || !user || !key) return undefined;
    const place = `${user} ${key}`;
    const known = this.#known.get(place);
    if (known === undefined && !this.#asked.has(place)) void this.#find(user, key, place).catch(() => undefined);
    return known;
  }

  onFound(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #find(user: string, key: string, place: string): Promise<void> {
    this.#asked.add(place);
    try {
      const devices = await this.#client.getCrypto()?.getUserDeviceInfo([user], true);
      const device = [...(devices?.get(user)?.values() ?? [])].find((candidate) => candidate.getIdentityKey() === key);
      if (!device) return;
      this.#known.set(place, device.deviceId);
    } finally {
      this.#asked.delete(place);
    }
    for (const listener of this.#listeners) listener();
  }
}
