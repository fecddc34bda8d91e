/** Runs something as a component does that is mounted, and gives what unmounts it. */
export const mounted = (f: () => void): (() => void) => $effect.root(f);
