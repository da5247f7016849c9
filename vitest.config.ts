import { defineConfig } from 'vitest/config';

/** Tests that hold a program to a time: they run when no other does. */
const alone = ['test/e2e/demo.test.ts'];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'side by side',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: alone,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: 'alone', include: alone, sequence: { groupOrder: 1 } } },
    ],
  },
});
