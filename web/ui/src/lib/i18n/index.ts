import { ApiError } from '../api/errors';
import { en } from './en';
import { people } from './en-people';

/** The catalogue in use. */
export const t = { ...en, ...people };

/** The browser's first language: the order of dates and the clock follow it, whatever language the words are in. */
export const language = ((): string => {
  try {
    return Intl.getCanonicalLocales((typeof navigator === 'undefined' ? [] : navigator.languages)[0])[0] ?? 'en';
  } catch {
    return 'en'; // not a language tag
  }
})();

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
