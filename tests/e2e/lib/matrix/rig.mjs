// Two Synapses that federate, and a focus that both announce and that is an application service of both. All state is in
// a folder that goes away with the rig; all of it runs in the caller's network namespace and needs no other network.

import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../wait.mjs';
import { registerUser } from './client.mjs';
import { prepareFocus } from './focus.mjs';
import { freePorts } from './ports.mjs';
import { makeCertificate, startSynapse, synapseAt } from './synapse.mjs';

/** The focus's own Matrix device, of a user of the first homeserver. */
const DEVICE = { localpart: 'focus', deviceId: 'FOCUS', password: randomBytes(24).toString('base64url') };

/**
 * Starts all of it. `focusEnv`: single options of the focus. `toDevice`: homeservers announce the focus's Matrix device, the
 * first of them without any address. `onStep`: is told what is being done. If a part does not start,
 * the others are ended before this throws.
 */
export async function startRig({ focusEnv = {}, toDevice = false, onStep = () => {} } = {}) {
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
    const [port, metricsPort, ...ports] = await freePorts(6);
    const places = [0, 2].map((at) => synapseAt({ client: ports[at], federation: ports[at + 1] }));
    focus = await prepareFocus({ folder: join(folder, 'focus'), port, metricsPort, homeservers: places, device: toDevice ? DEVICE : null, env: focusEnv });

    onStep('two homeservers');
    const tls = await makeCertificate(folder);
    const started = await Promise.allSettled(
      places.map(async (place, index) => {
        const { registration, transports } = focus.registered[index];
        homeservers[index] = await startSynapse({ place, folder: join(folder, `hs${index + 1}`), tls, transports, registrations: [registration] });
      }),
    );
    const failed = started.find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;

    if (toDevice) await registerUser(homeservers[0], DEVICE.localpart, DEVICE.password);

    onStep('the focus');
    await focus.start();
    await until('the focus has heard from both homeservers', async () => Object.values(await focus.homeservers()).every((state) => state === 'up'), { describe: () => focus.homeservers() });

    return {
      folder,
      homeservers,
      focus,
      /** A new user of a homeserver (0 or 1). */
      user: (localpart, homeserver) => registerUser(homeservers[homeserver], localpart, randomBytes(24).toString('base64url')),
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
