/**
 * Milliseconds on a clock that cannot be set: for how long something lasts. Date.now() may jump
 * back, and what waits for it then waits for as long.
 */
export const elapsed = (): number => performance.now();
