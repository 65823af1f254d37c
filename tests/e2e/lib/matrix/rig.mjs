// Two Synapses that federate, and a focus that both announce and that is an application service of both. All state is in
// a folder that goes away with the rig; all of it runs in the caller's network namespace and needs no other network.

import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { registerUser } from './client.mjs';
import { focusAt, newSigningKey, transportOf } from './focus.mjs';
import { freePorts } from './ports.mjs';
import { makeCertificate, startSynapse } from './synapse.mjs';

/** The part of the homeservers' path under which Synapse hands requests on (MSC4512). */
const PROXY_PREFIX = 'rtc/livekit/rust_sfu';

const token = () => randomBytes(32).toString('hex');

/** The registration of the focus at one homeserver, as JSON, which is YAML, and the two tokens as the focus reads them. */
async function register(folder, name, focusOrigin) {
  const tokens = { as: token(), hs: token() };
  const files = { registration: join(folder, `${name}.registration.json`), asTokenFile: join(folder, `${name}.as-token`), hsTokenFile: join(folder, `${name}.hs-token`) };
  const registration = {
    id: 'rust_sfu',
    url: focusOrigin,
    as_token: tokens.as,
    hs_token: tokens.hs,
    sender_localpart: '_rust_sfu',
    rate_limited: false,
    namespaces: {},
    'io.element.msc4502.scopes': ['urn:matrix:client:io.element.msc4502:rooms:is_joined'],
    'io.element.msc4512.proxy_prefix': PROXY_PREFIX,
    'io.element.msc4512.proxy_url': focusOrigin,
  };
  await writeFile(files.registration, JSON.stringify(registration), { mode: 0o600 });
  await writeFile(files.asTokenFile, `${tokens.as}\n`, { mode: 0o600 });
  await writeFile(files.hsTokenFile, `${tokens.hs}\n`, { mode: 0o600 });
  return files;
}

/**
 * Starts all of it. `focusEnv`: single options of the focus. `onStep`: is told what is being done. If a part does not start,
 * the others are ended before this throws.
 */
export async function startRig({ focusEnv = {}, onStep = () => {} } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'rust-sfu-matrix-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  const homeservers = [];
  let focus = null;
  let closing = null;
  const close = () => {
    closing ??= (async () => {
      // The focus first: it has the homeservers to say goodbye to.
      await focus?.stop();
      await Promise.all(homeservers.map((homeserver) => homeserver?.stop()));
      await rm(folder, { recursive: true, force: true });
    })();
    return closing;
  };

  try {
    const [focusPort, metricsPort, ...ports] = await freePorts(6);
    const homeserverPorts = [
      { client: ports[0], federation: ports[1] },
      { client: ports[2], federation: ports[3] },
    ];
    const signingKey = newSigningKey();
    const transports = [transportOf(focusPort, signingKey.sfuId)];
    const secrets = join(folder, 'secrets');
    await mkdir(secrets, { mode: 0o700 });
    onStep('two homeservers');
    const tls = await makeCertificate(folder);
    const started = await Promise.allSettled(
      homeserverPorts.map(async (own, index) => {
        const registration = await register(secrets, `hs${index + 1}`, `http://127.0.0.1:${focusPort}`);
        const homeserver = await startSynapse({ folder: join(folder, `hs${index + 1}`), ports: own, tls, transports, registrations: [registration.registration] });
        homeservers[index] = homeserver;
        return registration;
      }),
    );
    const failed = started.find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;

    onStep('the focus');
    focus = await focusAt({
      folder: join(folder, 'focus'),
      port: focusPort,
      metricsPort,
      signingKey,
      homeservers: started.map(({ value: registration }, index) => ({ ...registration, serverName: homeservers[index].serverName, origin: homeservers[index].origin })),
      env: focusEnv,
    });
    await focus.start();

    return {
      folder,
      homeservers,
      focus,
      transport: transports[0],
      sfuId: signingKey.sfuId,
      /** A new user of a homeserver (0 or 1). */
      user: (localpart, homeserver) => registerUser(homeservers[homeserver], localpart, token()),
      /** An encrypted room of the first user, which all others have joined. */
      async room([owner, ...others], options = {}) {
        const room = await owner.createRoom({ ...options, invite: others });
        for (const user of others) await user.join(room, owner);
        return room;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
