import type { ApiError } from '../api/errors';
import { words } from '.';
import { people } from './en-people-later';

/** The part of the catalogue in use that only components outside of the first load need. */
export const later = { ...people };

/** So many people are named at most. */
const mostNamed = 5;

/** Why people could not be added to a group; a refusal names them. */
export const whyNotAdded = (err: ApiError): string =>
  [words(err), ...(err.code === 'forbidden' ? err.fields.slice(0, mostNamed).map((f) => f.message) : [])].join(' ');
