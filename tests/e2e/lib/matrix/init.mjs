// What `sfu-server matrix init` prints for one homeserver, taken at its word: whoever follows it by hand gets the same.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SERVER } from '../need.mjs';

/** The text below each `# ---- heading`. */
function sections(text) {
  const parts = text.split(/^# ---- (.*)$/m).slice(1);
  const found = [];
  for (let at = 0; at < parts.length; at += 2) found.push({ heading: parts[at], body: parts[at + 1].trim() });
  return (pattern) => {
    const section = found.find(({ heading }) => pattern.test(heading));
    if (!section) throw new Error(`sfu-server matrix init prints nothing under ${pattern}`);
    return section.body;
  };
}

/** Writes the registration and the token files to `folder`. `configuration`: of the focus, with its key. */
export async function initMatrix({ folder, name, configuration, serverName, homeserverUrl, publicUrl, focusUrl }) {
  const options = ['--server-name', serverName, '--public-url', publicUrl, '--focus-url', focusUrl, '--homeserver-url', homeserverUrl, '--config', configuration];
  const { stdout } = await promisify(execFile)(SERVER, ['matrix', 'init', ...options], { env: { PATH: process.env.PATH } });
  const section = sections(stdout);
  const file = (end) => join(folder, `${name}.${end}`);
  const files = { registration: file('registration.yaml'), asTokenFile: file('as-token'), hsTokenFile: file('hs-token') };
  await writeFile(files.registration, `${section(/application service/)}\n`, { mode: 0o600 });
  await writeFile(files.asTokenFile, `${section(/as_token/)}\n`, { mode: 0o600 });
  await writeFile(files.hsTokenFile, `${section(/hs_token/)}\n`, { mode: 0o600 });
  const foci = JSON.parse(section(/well-known/))['org.matrix.msc4143.rtc_foci'];
  return { ...files, serverName, url: homeserverUrl, transports: foci };
}
