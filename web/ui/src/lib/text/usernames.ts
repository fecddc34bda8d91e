import { isAddress } from './characters';

// Where a text names a member: @username.

export interface Named {
  id: string;
  username: string;
}

/** Usernames have 2 to 32 of these characters. */
const inUsername = /^[A-Za-z0-9._-]/;
const shortest = 2;
const longest = 32;

/**
 * Can an @ at i begin a mention? Not in an address. Underscores before it may begin italic
 * text, unless an address is before them.
 */
export function mayMention(s: string, i: number): boolean {
  let j = i;
  while (j > 0 && s[j - 1] === '_') j--;
  return j === 0 || !isAddress(s[j - 1]);
}

/**
 * The user whose username begins at i, after an @, and where it ends. A full stop, dash or
 * underscore at the end may be the sentence's.
 */
export function find<P extends Named>(s: string, i: number, people: ReadonlyMap<string, P>): { person: P; end: number } | undefined {
  let end = i;
  while (end < s.length && inUsername.test(s[end]!)) end++;
  if (s[end] === '@') return undefined; // an address of another network: @ada@example.org
  for (; end - i >= shortest; end--) {
    const person = end - i > longest ? undefined : people.get(s.slice(i, end).toLowerCase());
    if (person) return { person, end };
    if (!/[._-]/.test(s[end - 1]!)) return undefined;
  }
  return undefined;
}

export const byUsername = <P extends Named>(people: readonly P[]): Map<string, P> => new Map(people.map((p) => [p.username.toLowerCase(), p]));
