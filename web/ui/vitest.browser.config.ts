import { defineConfig } from 'vitest/config';

// Real binary, real database, real browser: one file at a time, and time to start.
export default defineConfig({
  test: {
    include: ['browser/**/*.test.ts'],
    environment: 'node',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // A machine that builds other things at the same time is slow.
    expect: { poll: { timeout: 15_000 } },
  },
});
