import { defineConfig } from 'vitest/config';

const STREAM = 'test/bridge/stream/**/*.test.ts';
const FLEET = 'test/server/fleet/**/*.test.ts';
/** A minute in which nobody may be heard to stumble. */
const AGENTS = 'test/server/leg-examples.test.ts';
const NATIVE = 'test/native/**/*.test.ts';

const common = {
  // Each file gets a process of its own: native state, sockets and signal handlers never leak between files.
  pool: 'forks',
  hookTimeout: 20_000,
} as const;

export default defineConfig({
  test: {
    globalSetup: ['test/support/build.ts'],
    // Of what runs in the tests' own processes: a gateway that a test starts from `dist` does not count.
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text-summary', 'html'] },
    projects: [
      {
        test: {
          ...common,
          name: 'gateway',
          include: ['test/**/*.test.ts'],
          exclude: [STREAM, FLEET, AGENTS, NATIVE],
          testTimeout: 20_000,
        },
      },
      {
        // WebRTC at both ends and its server: one file at a time has the machine to itself.
        test: {
          ...common,
          name: 'stream',
          include: [STREAM],
          testTimeout: 40_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Several gateways, their Redis and a hundred callers: one file at a time.
        test: {
          ...common,
          name: 'fleet',
          include: [FLEET, AGENTS],
          testTimeout: 30_000,
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
      {
        // Compilers, sanitizers, an emulator: minutes of work, and nothing with a clock beside it.
        test: {
          ...common,
          name: 'native',
          include: [NATIVE],
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
