import { execFile } from 'node:child_process';
import { startStreamDouble } from '../support/stream/process.js';
import type { Root } from './debian.js';

/** A project in which the packed package is installed, on one Node, in one root. */
export interface Place {
  readonly node: string;
  readonly root: Root;
  /** What runs a program of Node there: `args` as `node` takes them, paths as they are there (`/project`, `/checkout`). */
  command(
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): readonly [program: string, args: readonly string[]];
}

export interface Finding {
  /** For a cell of the table. */
  readonly says: string;
  /** What is wrong, in full; absent if nothing is. */
  readonly fault?: string;
}

/** One thing that is tried in every place: a column of the table. */
export interface Check {
  readonly title: string;
  run(place: Place): Promise<Finding>;
}

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly output: string;
}

const PATIENCE_MS = 180_000;

/** `trunkline` as it was installed. */
function trunkline(
  place: Place,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const [program, all] = place.command(
    ['/project/node_modules/trunkline/dist/cli/trunkline.js', ...args],
    env,
  );
  return runProgram(program, all);
}

function runProgram(program: string, args: readonly string[], env = process.env): Promise<Result> {
  return new Promise((resolve) => {
    const options = { timeout: PATIENCE_MS, maxBuffer: 2 ** 26, env };
    execFile(program, [...args], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, output: stdout + stderr }),
    );
  });
}

const NO = '**no**';

const demo: Check = {
  title: 'demo',
  async run(place) {
    const { code, output } = await trunkline(place, ['demo', '--seconds', '1']);
    return code === 0 ? { says: 'yes' } : { says: NO, fault: output };
  },
};

const core: Check = {
  title: 'core',
  async run(place) {
    const { output } = await trunkline(place, ['--version']);
    const says = /^(native|wasm) core, (\w+): (.*)$/m.exec(output);
    if (says?.[1] === 'native' && says[3] === 'prebuilds/linux-x64/trunkline.glibc.node')
      return { says: 'native' };
    return { says: `**${says?.[1] ?? 'none'}**`, fault: output };
  },
};

/** Which transport serves there, and what it is made of. */
async function serverOf(place: Place): Promise<{ name?: string; origin?: string; output: string }> {
  const { code, output } = await trunkline(place, ['--version']);
  const [, name, origin] = (code === 0 && /^(\S+) server: (.*)$/m.exec(output)) || [];
  return { ...(name && { name }), ...(origin && { origin }), output };
}

const server: Check = {
  title: 'server',
  async run(place) {
    const { name, origin, output } = await serverOf(place);
    if (name === undefined) return { says: '**none**', fault: output };
    const version = /\b\d+\.\d+\.\d+\b/.exec(name === 'uws' ? (origin as string) : '');
    return { says: version ? `uws ${version}` : name };
  },
};

/** Whatever serves there, and Node's own HTTP besides, in the hands of the suite that holds both to their contract. */
const contract: Check = {
  title: "transports' suite",
  async run(place) {
    const { name } = await serverOf(place);
    const [program, args] = place.command([]);
    const env = {
      ...process.env,
      NO_COLOR: '1',
      TRANSPORTS: name === 'uws' ? 'uws,node' : 'node',
      TRANSPORT_ROOT: place.root.folder,
      TRANSPORT_COMMAND: JSON.stringify([program, ...args]),
      TRANSPORT_DIST: '/project/node_modules/trunkline/dist',
    };
    const suite = ['vitest', 'run', '--project', 'integration', 'test/http/transport'];
    const { code, output } = await runProgram('npx', suite, env);
    const passed = /Tests +(\d+) passed/.exec(output)?.[1];
    return code === 0 && passed !== undefined ? { says: `${passed} passed` } : { says: NO, fault: output };
  },
};

/** WebRTC's binary needs that much. */
const STREAM_GLIBC = 34;
/** Speech that was longer within the gateway says of this machine how busy it is, and nothing of the platform. */
const LATE_US = 20_000;

const streamDemo: Check = {
  title: 'demo on Stream',
  async run(place) {
    if (Number(place.root.glibc.split('.')[1]) < STREAM_GLIBC)
      return { says: `needs glibc 2.${STREAM_GLIBC}` };
    // The package contains no double of Stream: that of the checkout runs alongside, over loopback.
    const { keys, close } = await startStreamDouble();
    try {
      const { apiKey, apiSecret, baseUrl } = keys;
      const env = { STREAM_API_KEY: apiKey, STREAM_API_SECRET: apiSecret, STREAM_BASE_URL: baseUrl };
      const said = await trunkline(place, ['demo', '--bridge', 'stream', '--seconds', '6', '--json'], env);
      return said.code === 0 || cameBackLate(said.stdout)
        ? { says: 'yes' }
        : { says: NO, fault: said.output };
    } finally {
      await close();
    }
  },
};

/** Whether the only failure is speech that a busy machine degraded. */
function cameBackLate(stdout: string): boolean {
  if (!stdout.startsWith('{')) return false;
  const { faults, gateway } = JSON.parse(stdout) as {
    faults: readonly string[];
    gateway: { traffic: { framesOut: number }; latency: { gateway: { maxUs: number } } };
  };
  const isLate = gateway.latency.gateway.maxUs > LATE_US;
  return isLate && gateway.traffic.framesOut > 0 && faults.every((fault) => fault.includes('speech'));
}

/** In the order of the table. */
export const CHECKS: readonly Check[] = [server, contract, core, demo, streamDemo];
