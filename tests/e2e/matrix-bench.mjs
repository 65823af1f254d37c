// netns.sh node matrix-bench.mjs SCENARIO OPTION...: `sfu-bench matrix SCENARIO OPTION...` (or `run OPTION...`) on two Synapses of its
// own and a focus. Progress goes to stderr, the report to stdout; the exit code is the bench's. Programs are those of
// `SFU_SERVER` and `SFU_BENCH`, else debug builds.

import { missing } from './lib/need.mjs';
import { runBench } from './lib/matrix/bench.mjs';
import { startRig } from './lib/matrix/rig.mjs';

const [scenario, ...options] = process.argv.slice(2);
const absent = missing('netns', 'server', 'bench', 'synapse', 'openssl');
if (scenario === undefined || absent.length > 0) {
  console.error(absent.length > 0 ? absent.join('\n') : 'usage: netns.sh node matrix-bench.mjs kick|authorise|hostile|run OPTION...');
  process.exit(2);
}

const rig = await startRig({ onStep: (step) => console.error(`starting ${step}`) });
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => rig.close().then(() => process.exit(130)));
try {
  const args = scenario === 'run' ? ['run', ...options] : ['matrix', scenario, ...options];
  const { code, output } = await runBench(rig, args, (text) => process.stderr.write(text));
  process.stdout.write(output);
  process.exitCode = code ?? 1;
} finally {
  await rig.close();
}
