import { fold } from '../search';

// People named in a text as @username.

export interface Named {
  id: string;
  username: string;
}

/** A username after an @ that is not in the middle of a word or an address. */
const at = /(?<![\p{L}\p{N}@._/-])@([a-z0-9._-]{2,32})/giu;

/** The one meant by what follows an @; a full stop or dash after it may be the sentence's. */
function find<T extends Named>(word: string, people: Map<string, T>): T | undefined {
  for (let name = word.toLowerCase(); name.length >= 2; name = name.slice(0, -1)) {
    const person = people.get(name);
    if (person || !/[._-]$/.test(name)) return person;
  }
  return undefined;
}

const byUsername = <T extends Named>(people: readonly T[]): Map<string, T> => new Map(people.map((p) => [p.username.toLowerCase(), p]));

/** The text in parts: as it is, and those people whom it names. */
export function split<T extends Named>(text: string, people: readonly T[]): (string | T)[] {
  if (people.length === 0 || !text.includes('@')) return [text];
  const known = byUsername(people);
  const parts: (string | T)[] = [];
  let from = 0;
  for (const match of text.matchAll(at)) {
    const person = find(match[1]!, known);
    if (!person) continue;
    if (match.index > from) parts.push(text.slice(from, match.index));
    parts.push(person);
    from = match.index + 1 + person.username.length;
  }
  if (from < text.length || parts.length === 0) parts.push(text.slice(from));
  return parts;
}

/** The server stores at most so many. */
const most = 50;

/** The ids of those whom a text names, each once. */
export function named(text: string, people: readonly Named[]): string[] {
  const ids = split(text, people).flatMap((p) => (typeof p === 'string' ? [] : [p.id]));
  return [...new Set(ids)].slice(0, most);
}

/** What is being completed at the caret: where its @ is, and the letters after it. */
export function completing(text: string, caret: number): { from: number; query: string } | null {
  const match = /(?:^|[^\p{L}\p{N}@._/-])@([\p{L}\p{N}._-]{0,32})$/u.exec(text.slice(0, caret));
  return match ? { from: caret - match[1]!.length - 1, query: match[1]!.toLocaleLowerCase() } : null;
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
