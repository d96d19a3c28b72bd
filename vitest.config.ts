import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** No sockets, no processes. */
const UNIT = [
  'test/*.test.ts',
  'test/doctor/captured-request.test.ts',
  'test/simulator/{audio,load-steps,playout,twiml}.test.ts',
  'test/{bridge,media,rtc,telemetry,twilio,webhooks}/*.test.ts',
  'test/rtc/*/*.test.ts',
  'test/calls/{call,history,registry,result}.test.ts',
  'test/phone/{framer,intake,level-meter,marks,playout}.test.ts',
  'test/recording/{stereo-tape,caller-clock,phone-band}.test.ts',
  'test/{control/wav-clip,legs/pacer,fleet/write-queue,fleet/handover-limiter}.test.ts',
  'test/deploy/{compose,dockerfile,prometheus,readme,systemd}.test.ts',
  'test/package/{arrows,dependencies,errors,generated,links,platforms,readme,reference-pages}.test.ts',
  'test/package/{security,workflows}.test.ts',
];
/** Models and agents, real and simulated, with all that may go wrong: in virtual time, but much of it. */
const MODELS = [
  'test/{conformance,model-simulator}/*.test.ts',
  'test/cli/conformance.test.ts',
  // How an agent is dialled stays among the tests that a developer runs.
  'test/agents/!(dial).test.ts',
  'test/bridge/stream/programs.test.ts',
];
/** Each a folder of its own, since it takes its time or needs more than Node. */
const SPECIAL = ['stream', 'fleet', 'native', 'soak', 'page', 'shipped'] as const;
const folderOf = (name: string) => `test/${name}/**/*.test.ts`;

const common = {
  // Each file gets a process of its own: native state, sockets and signal handlers never leak between files.
  pool: 'forks',
  maxWorkers: Math.max(2, availableParallelism() - 1),
  // Nothing waits by these, but what never ends.
  testTimeout: 60_000,
  hookTimeout: 60_000,
} as const;

/** Told at the end of a run: what was not tested, and how to get it. */
const ran: string[] = [];
const skipped = new Set<string>();

function tellSkipped(): void {
  const others = ['models', ...SPECIAL].filter((name) => !ran.includes(name));
  if (others.length > 0) {
    skipped.add(
      `Skipped: ${others.join(', ')} (npm run test:all, or one of them: npm run test:${others[0]})`,
    );
  }
  for (const line of skipped) console.log(line);
}

export default defineConfig({
  test: {
    globalSetup: ['test/support/build.ts'],
    reporters: [
      'default',
      { onInit: ({ projects }) => ran.push(...projects.map(({ name }) => name)), onTestRunEnd: tellSkipped },
    ],
    onConsoleLog(log) {
      if (!log.startsWith('Skipped: ')) return true;
      skipped.add(log.trim());
      return false;
    },
    // Of what runs in the tests' own processes: a gateway that a test starts from `dist` does not count.
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text-summary', 'html'] },
    projects: [
      { test: { ...common, name: 'unit', include: UNIT } },
      {
        test: {
          ...common,
          name: 'integration',
          include: ['test/**/*.test.ts'],
          exclude: [...UNIT, ...MODELS, ...['e2e', ...SPECIAL].map(folderOf)],
          sequence: { groupOrder: 1 },
        },
      },
      { test: { ...common, name: 'models', include: MODELS, sequence: { groupOrder: 3 } } },
      {
        // Real time, real WebRTC, a real Redis: one file at a time.
        test: {
          ...common,
          name: 'e2e',
          include: [folderOf('e2e')],
          testTimeout: 300_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // What a user's program may say and what it may not, of the declarations in `dist`: the compiler alone.
        test: {
          name: 'types',
          include: [],
          typecheck: {
            enabled: true,
            only: true,
            include: ['test/types/**/*.test-d.ts'],
            tsconfig: './test/types/tsconfig.json',
          },
        },
      },
      ...SPECIAL.map((name, i) => ({
        test: {
          ...common,
          name,
          include: [folderOf(name)],
          exclude: UNIT,
          testTimeout: 600_000,
          fileParallelism: false,
          sequence: { groupOrder: 4 + i },
        },
      })),
    ],
  },
});
