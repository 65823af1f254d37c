// One Synapse in a folder of its own, on loopback, with nothing switched on that a call does not need.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SYNAPSE_PYTHON } from '../need.mjs';
import { until } from '../wait.mjs';
import { startChild } from './child.mjs';

const START_MS = 60_000;
const HOST = '127.0.0.1';
/** Tests are faster than people. */
const UNLIMITED = { per_second: 10_000, burst_count: 10_000 };

/** One self-signed certificate for all homeservers of a rig: they federate over TLS or not at all, and check no issuer. */
export async function makeCertificate(folder) {
  const [key, certificate] = [join(folder, 'tls.key'), join(folder, 'tls.crt')];
  const what = ['-subj', '/CN=localhost', '-addext', `subjectAltName=DNS:localhost,IP:${HOST}`];
  await promisify(execFile)('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30', ...what, '-keyout', key, '-out', certificate]);
  return { key, certificate };
}

const secret = () => randomBytes(24).toString('base64url');

/** JSON is YAML. */
function configuration({ folder, serverName, ports, tls, transports, registrations, registrationSecret }) {
  const listener = (port, encrypted, names) => ({ port, type: 'http', tls: encrypted, bind_addresses: [HOST], resources: [{ names, compress: false }] });
  return {
    server_name: serverName,
    public_baseurl: `http://${HOST}:${ports.client}/`,
    pid_file: join(folder, 'pid'),
    listeners: [listener(ports.client, false, ['client', 'federation', 'openid']), listener(ports.federation, true, ['federation'])],
    tls_certificate_path: tls.certificate,
    tls_private_key_path: tls.key,
    database: { name: 'sqlite3', args: { database: join(folder, 'homeserver.db') } },
    media_store_path: join(folder, 'media'),
    signing_key_path: join(folder, 'signing.key'),
    log_config: join(folder, 'log.json'),
    report_stats: false,
    trusted_key_servers: [],
    suppress_key_server_warning: true,
    federation_verify_certificates: false,
    ip_range_blacklist: [],
    federation_ip_range_blacklist: [],
    // A homeserver that was stopped for a while is called again at once, not after ten minutes.
    federation: { destination_min_retry_interval: 500, destination_max_retry_interval: 2000, destination_retry_multiplier: 1 },
    registration_shared_secret: registrationSecret,
    macaroon_secret_key: secret(),
    form_secret: secret(),
    bcrypt_rounds: 4,
    url_preview_enabled: false,
    presence: { enabled: false },
    app_service_config_files: registrations,
    matrix_rtc: { transports },
    extra_well_known_client_content: { 'org.matrix.msc4143.rtc_foci': transports },
    max_event_delay_duration: '24h',
    experimental_features: {
      msc3266_enabled: true,
      msc4140_max_delayed_events_per_user: 1000,
      msc4143_enabled: true,
      msc4222_enabled: true,
      msc4354_enabled: true,
      msc4502_enabled: true,
      msc4512_enabled: true,
    },
    ...Object.fromEntries(['rc_message', 'rc_registration', 'rc_joins_per_room', 'rc_room_creation', 'rc_delayed_event_mgmt', 'rc_key_requests'].map((name) => [name, UNLIMITED])),
    rc_login: { address: UNLIMITED, account: UNLIMITED, failed_attempts: UNLIMITED },
    rc_joins: { local: UNLIMITED, remote: UNLIMITED },
    rc_invites: { per_room: UNLIMITED, per_user: UNLIMITED, per_issuer: UNLIMITED },
    rc_federation: { window_size: 1000, sleep_limit: 10_000, sleep_delay: 1, reject_limit: 100_000, concurrent: 100 },
  };
}

const logging = {
  version: 1,
  formatters: { plain: { format: '%(asctime)s %(levelname)s %(name)s %(message)s' } },
  handlers: { stderr: { class: 'logging.StreamHandler', formatter: 'plain' } },
  root: { level: process.env.SFU_E2E_SYNAPSE_LOG ?? 'WARNING', handlers: ['stderr'] },
  disable_existing_loggers: false,
};

/** Where a homeserver will be, and what it is called. It need not run for others to be told. */
export const synapseAt = (ports) => ({ ports, serverName: `localhost:${ports.federation}`, url: `http://${HOST}:${ports.client}` });

/**
 * Writes the configuration and starts it. `transports`: what it announces; `registrations`: files of application services.
 * The homeserver answers when this returns. It can be stopped and started again with all that it knew.
 */
export async function startSynapse({ folder, place, tls, transports = [], registrations = [] }) {
  const { ports, serverName, url: origin } = place;
  const registrationSecret = secret();
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'homeserver.json');
  await writeFile(file, JSON.stringify(configuration({ folder, serverName, ports, tls, transports, registrations, registrationSecret }), null, 2));
  await writeFile(join(folder, 'log.json'), JSON.stringify(logging));
  await writeFile(join(folder, 'signing.key'), `ed25519 a_1 ${randomBytes(32).toString('base64').replace(/=+$/, '')}\n`, { mode: 0o600 });

  const log = [];
  let child = null;
  const homeserver = {
    serverName,
    origin,
    registrationSecret,
    log,
    get pid() {
      return child?.pid ?? null;
    },
    /** Resolves when the present process ends. */
    get exited() {
      return child?.exited ?? null;
    },
    async start() {
      child = startChild(SYNAPSE_PYTHON, ['-m', 'synapse.app.homeserver', '-c', file], { cwd: folder, log });
      await until(
        `Synapse ${serverName} answers`,
        async () => {
          if (child.ended) return true;
          return (await fetch(`${origin}/_matrix/client/versions`)).ok;
        },
        { deadlineMs: START_MS, describe: () => log.slice(-15).join('\n') },
      );
      if (child.ended) throw new Error(`Synapse ${serverName} ended (${JSON.stringify(child.ended)}):\n${log.slice(-15).join('\n')}`);
      return homeserver;
    },
    /** As an operator does. `SIGKILL`: as a power cut does. */
    async stop(signal = 'SIGTERM') {
      await child?.stop(signal);
      child = null;
    },
  };
  try {
    return await homeserver.start();
  } catch (error) {
    await homeserver.stop('SIGKILL');
    throw error;
  }
}
