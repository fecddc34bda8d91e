import type { Environment } from 'vitest/runtime';

// Node, with modules compiled as for a browser: runes are signals there, while the server
// form, which a plain Node environment gets, computes every $derived once.
export default {
  name: 'client',
  viteEnvironment: 'client',
  setup: () => ({ teardown() {} }),
} satisfies Environment;
