// matrix-js-sdk behind our interfaces: login, sync, rooms, and Olm through its Rust crypto. Only
// the files `sdk*.ts` name it.

import { initAsync } from '@matrix-org/matrix-sdk-crypto-wasm';
import { ClientEvent, createClient, RoomEvent, type MatrixClient, type Method } from 'matrix-js-sdk';
import { CryptoEvent } from 'matrix-js-sdk/lib/crypto-api/CryptoEvent.js';
import type { VerificationRequest } from 'matrix-js-sdk/lib/crypto-api/verification.js';
import type { ToDeviceBatch } from 'matrix-js-sdk/lib/models/ToDeviceMessage.js';
import { logger } from 'matrix-js-sdk/lib/logger.js';
import { HomeserverError, type Homeserver, type Room, type Target, type ToDevice, type Trust } from './homeserver.ts';
import { isObject, objectAt, stringAt, type Json } from './json.ts';
import type { Login } from './login.ts';
import { asError } from './sdk-error.ts';
import { RoomView } from './sdk-room.ts';
import { knownDevice, learnDevices } from './sdk-strangers.ts';
import { SdkVerification } from './sdk-verification.ts';
import type { Verification, Verifier } from './verification.ts';

/** A slow first sync of a large account. */
const FIRST_SYNC_MS = 60_000;
const TIMELINE = 30;

export class Sdk implements Homeserver, Verifier {
  readonly client: MatrixClient;
  readonly #listeners = new Set<(message: ToDevice) => void>();
  /** Users who share no room with us, whose devices were asked for nevertheless. One for each focus. */
  readonly #learned = new Set<string>();

  private constructor(client: MatrixClient) {
    this.client = client;
    client.on(ClientEvent.ReceivedToDeviceMessage, ({ message, encryptionInfo }) => {
      if (encryptionInfo?.sender !== message.sender) return;
      void this.#deviceOf(message.sender, encryptionInfo.senderCurve25519KeyBase64).then((device) => {
        if (device === null || (encryptionInfo.senderDevice && encryptionInfo.senderDevice !== device)) return;
        const { type, sender, content } = message;
        for (const listener of this.#listeners) listener({ type, sender, device, content: content as Json });
      });
    });
  }

  /** Logs in, if the address held no token, and returns after the first sync. */
  static async start(login: Login, wasm: string): Promise<Sdk> {
    // Its log holds the ids of everybody.
    quiet();
    const { homeserver: baseUrl } = login;
    const session = login.token === null ? await passwordLogin(login) : { user: login.user, device: login.device ?? '', token: login.token };
    const client = createClient({ baseUrl, userId: session.user, deviceId: session.device, accessToken: session.token, useAuthorizationHeader: true });
    // The crypto of the SDK asks for it by a name that the bundler cannot know.
    await initAsync(wasm);
    await client.initRustCrypto({ cryptoDatabasePrefix: `rust-sfu:${session.user}:${session.device}` });
    const sdk = new Sdk(client);
    await sdk.#checkDevice();
    if (login.crossSign) await sdk.#crossSign();
    await sdk.#sync();
    return sdk;
  }

  get user(): string {
    return this.client.getSafeUserId();
  }

  get device(): string {
    return this.client.getDeviceId() ?? '';
  }

  get serverName(): string {
    return this.client.getDomain() ?? '';
  }

  /** To come back as the same device. */
  get credentials(): { readonly homeserver: string; readonly user: string; readonly device: string; readonly token: string } {
    return { homeserver: this.client.getHomeserverUrl(), user: this.user, device: this.device, token: this.client.getAccessToken() ?? '' };
  }

  async request(method: 'GET' | 'POST' | 'PUT', path: string, body?: Json, query?: Readonly<Record<string, string>>): Promise<Json> {
    try {
      const answer: unknown = await this.client.http.authedRequest(method as Method, path, query && { ...query }, body as Record<string, unknown>, { prefix: '', keepAlive: method !== 'GET' });
      return isObject(answer) ? answer : {};
    } catch (error) {
      throw asError(error);
    }
  }

  async sendToDevice(type: string, targets: readonly Target[], content: Json): Promise<readonly Target[]> {
    const crypto = this.client.getCrypto();
    if (targets.length === 0 || !crypto) return targets;
    const users = new Set(targets.map(({ user }) => user).filter((user) => !this.#learned.has(user)));
    if (users.size > 0) await crypto.getUserDeviceInfo([...users], true);
    const encrypt = (some: readonly Target[]): Promise<ToDeviceBatch | null> => {
      const devices = some.map(({ user, device }) => ({ userId: user, deviceId: device }));
      return crypto.encryptToDeviceMessages(type, devices, content as Record<string, unknown>).catch(() => null);
    };
    // The SDK encrypts for all or, if one of them has no one-time keys left, for nobody: then one by one.
    const whole = await encrypt(targets);
    const batches = (whole ? [whole] : await Promise.all(targets.map((target) => encrypt([target])))).filter((found) => found !== null);
    const batch = batches.flatMap((found) => found.batch);
    const [first] = batches;
    if (first && batch.length > 0) await this.client.queueToDevice({ eventType: first.eventType, batch });
    return targets.filter(({ user, device }) => !batch.some(({ userId, deviceId }) => userId === user && deviceId === device));
  }

  onToDevice(listener: (message: ToDevice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async learnDevices(user: string): Promise<void> {
    const crypto = this.client.getCrypto();
    if (!crypto) return;
    await learnDevices(crypto, user);
    this.#learned.add(user);
  }

  /** Joins the room if we are not in it. */
  async room(idOrAlias: string): Promise<Room> {
    const known = this.client.getRoom(idOrAlias);
    const room = known?.getMyMembership() === 'join' ? known : await this.client.joinRoom(idOrAlias).catch((error: unknown) => Promise.reject(asError(error)));
    await until(() => this.client.getRoom(room.roomId)?.getMyMembership() === 'join', (again) => {
      this.client.on(RoomEvent.MyMembership, again);
      return () => this.client.off(RoomEvent.MyMembership, again);
    });
    const joined = this.client.getRoom(room.roomId) ?? room;
    await joined.loadMembersIfNeeded();
    return new RoomView(this.client, joined);
  }

  async trust(user: string, device: string): Promise<Trust> {
    const status = await this.client.getCrypto()?.getDeviceVerificationStatus(user, device);
    if (!status) return 'unknown';
    if (status.isVerified() || status.crossSigningVerified) return 'verified';
    return status.signedByOwner ? 'signed' : 'unsigned';
  }

  async verify(user: string, device: string): Promise<Verification> {
    const crypto = this.client.getCrypto();
    if (!crypto) throw new HomeserverError(0, 'M_UNKNOWN', 'no crypto');
    await crypto.getUserDeviceInfo([user], true);
    return new SdkVerification(await crypto.requestDeviceVerification(user, device));
  }

  onVerification(listener: (verification: Verification) => void): () => void {
    const received = (request: VerificationRequest): void => listener(new SdkVerification(request));
    this.client.on(CryptoEvent.VerificationRequestReceived, received);
    return () => this.client.off(CryptoEvent.VerificationRequestReceived, received);
  }

  onTrust(listener: () => void): () => void {
    this.client.on(CryptoEvent.UserTrustStatusChanged, listener);
    this.client.on(CryptoEvent.DevicesUpdated, listener);
    return () => {
      this.client.off(CryptoEvent.UserTrustStatusChanged, listener);
      this.client.off(CryptoEvent.DevicesUpdated, listener);
    };
  }

  stop(): void {
    this.client.stopClient();
  }

  async #sync(): Promise<void> {
    await this.client.startClient({ initialSyncLimit: TIMELINE, lazyLoadMembers: true });
    await until(() => this.client.isInitialSyncComplete(), (again) => {
      this.client.on(ClientEvent.Sync, again);
      return () => this.client.off(ClientEvent.Sync, again);
    });
  }

  /** The keys of a device live in one browser. In another one this device could neither read nor be read. */
  async #checkDevice(): Promise<void> {
    const own = await this.client.getCrypto()?.getOwnDeviceKeys();
    const answer = await this.request('POST', '/_matrix/client/v3/keys/query', { device_keys: { [this.user]: [this.device] } });
    const devices = objectAt(objectAt(answer, 'device_keys') ?? {}, this.user);
    const keys = objectAt(objectAt(devices ?? {}, this.device) ?? {}, 'keys');
    const published = keys && stringAt(keys, `ed25519:${this.device}`);
    if (published !== null && published !== own?.ed25519) throw new HomeserverError(403, 'ORG_RUST_SFU_DEVICE_ELSEWHERE', 'the device has other keys');
  }

  /** Of a fresh account only: it would be a nuisance to lose the identity of one that is used elsewhere. */
  async #crossSign(): Promise<void> {
    const crypto = this.client.getCrypto();
    if (!crypto || (await crypto.userHasCrossSigningKeys(this.user, true))) return;
    // A first upload needs no further proof than the token (MSC3967).
    await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: async (upload) => void (await upload(null)) }).catch(() => undefined);
  }

  /** The device whose key it is, which is what Olm has proven. */
  async #deviceOf(user: string, curve25519: string): Promise<string | null> {
    const crypto = this.client.getCrypto();
    const known = crypto ? await knownDevice(crypto, user, curve25519) : null;
    if (known !== null) return known;
    const devices = await crypto?.getUserDeviceInfo([user], true);
    for (const device of devices?.get(user)?.values() ?? []) if (device.getIdentityKey() === curve25519) return device.deviceId;
    return null;
  }
}

/** Loggers of its parts would each begin with everything switched on. */
function quiet(): void {
  const all = logger as unknown as { setLevel(level: string, persist: boolean): void; getChild(): unknown };
  all.setLevel('error', false);
  all.getChild = () => all;
}

async function passwordLogin({ homeserver, user, password }: Login): Promise<{ user: string; device: string; token: string }> {
  const client = createClient({ baseUrl: homeserver });
  const identifier = { type: 'm.id.user', user };
  const request = { type: 'm.login.password', identifier, password: password ?? '', initial_device_display_name: 'rust-sfu call page' };
  const answer = await client.loginRequest(request).catch((error: unknown) => Promise.reject(asError(error)));
  return { user: answer.user_id, device: answer.device_id, token: answer.access_token };
}

async function until(holds: () => boolean, watch: (again: () => void) => () => void): Promise<void> {
  if (holds()) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => end(() => reject(new HomeserverError(0, 'M_UNREACHABLE', 'the homeserver is too slow'))), FIRST_SYNC_MS);
    const stop = watch(() => (holds() ? end(resolve) : undefined));
    function end(then: () => void): void {
      clearTimeout(timer);
      stop();
      then();
    }
  });
}
