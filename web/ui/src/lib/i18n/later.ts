import { people } from './en-people-later';

/** The part of the catalogue in use that only components outside of the first load need. */
export const later = { ...people };
