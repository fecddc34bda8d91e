import { fold } from '../search';
import { mentionsIn, parse } from './parse';
import { mayMention, type Named } from './usernames';

// Members whom a text being written names as @username.

/** The server stores at most so many. */
const maxMentions = 50;

/** The ids of the users whom the text shows as mentions, each once. */
export function named(text: string, people: readonly Named[]): string[] {
  if (people.length === 0 || !text.includes('@')) return [];
  const ids = mentionsIn(parse(text, people)).map((p) => p.id);
  return [...new Set(ids)].slice(0, maxMentions);
}

/** What is being completed at the caret: where its @ is, and the letters after it. */
export function completing(text: string, caret: number): { from: number; query: string } | null {
  const from = caret < 1 ? -1 : text.lastIndexOf('@', caret - 1);
  const query = text.slice(from + 1, caret);
  if (from < 0 || !/^[\p{L}\p{N}\p{M}._-]{0,32}$/u.test(query) || !mayMention(text, from)) return null;
  return { from, query: query.toLocaleLowerCase() };
}

/** One ASCII letter is in the middle of most names; one of another script may be all of a given name. */
const contains = (q: string): boolean => q.length > 1 || q > '\u007f';

/** Those who fit, best first: by how the username begins, how a word of the name begins. */
export function suggest<T extends Named & { display_name: string }>(people: readonly T[], query: string, limit: number): T[] {
  const q = fold(query);
  const rank = (p: T): number => {
    if (p.username.startsWith(q)) return 0;
    const name = fold(p.display_name);
    if (name.split(/\s+/).some((word) => word.startsWith(q))) return 1;
    return contains(q) && (p.username.includes(q) || name.includes(q)) ? 2 : 3;
  };
  return people
    .map((p) => ({ p, r: rank(p) }))
    .filter(({ r }) => r < 3)
    .sort((a, b) => a.r - b.r || a.p.display_name.localeCompare(b.p.display_name))
    .slice(0, limit)
    .map(({ p }) => p);
}
