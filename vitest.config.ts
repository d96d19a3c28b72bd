import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/build.ts'],
    // Each file gets a process of its own: native state, sockets and signal handlers never leak between files.
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
