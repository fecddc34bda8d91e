import { ApiError } from '../api/errors';
import { en } from './en';

/** The catalogue in use. */
export const t = en;

/** For dates: words in the language of the catalogue, order and clock as the reader has them. */
export const locale =
  (typeof navigator === 'undefined' ? [] : navigator.languages).find((l) => l.startsWith('en')) ?? 'en';

/** What went wrong and what to do, in words. */
export function words(err: ApiError): string {
  switch (err.code) {
    case 'offline':
      return t.error.offline;
    case 'unavailable':
      return t.error.unavailable;
    case 'internal':
      return t.error.internal;
    case 'rate_limited':
      return t.error.rateLimited(err.retryAfter);
    default:
      return err.detail || t.error.other;
  }
}
