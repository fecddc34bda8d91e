import type { ApiError } from '../api/errors';

// Asking again for what the server could not do just now.

/** Waits between tries, in milliseconds: from, up to. */
const from = 3_000;
const upTo = 30_000;

/** How long to wait after so many failed tries; null if the same would be refused for ever. */
export function waitAfter(tries: number, err: ApiError): number | null {
  switch (err.code) {
    case 'offline':
    case 'unavailable':
    case 'rate_limited':
    case 'internal':
      return Math.max(err.retryAfter * 1000, Math.min(upTo, from * 2 ** (tries - 1)));
    default:
      return null;
  }
}
