// How well a name answers what somebody typed.

// Names are the same ones with every key; taking them apart is most of the work.
const known = new Map<string, { plain: string; words: string[] }>();
const mostKnown = 5_000;

function apart(text: string): { plain: string; words: string[] } {
  let parts = known.get(text);
  if (!parts) {
    const ascii = /^[ -~]*$/.test(text); // most are, and need no more
    const plain = (ascii ? text : text.normalize('NFD').replace(/\p{M}/gu, '')).toLowerCase();
    parts = { plain, words: plain.split(/[\s._-]+/) };
    if (known.size >= mostKnown) known.clear();
    known.set(text, parts);
  }
  return parts;
}

/** Without accents and capitals. */
export const fold = (text: string): string => apart(text).plain;

/**
 * Bigger is better, 0 is no match: the name itself, its beginning, beginnings of its words,
 * what it contains; then letters that begin words or go on from there ("bocl" for Book
 * Club); last, beginnings with one mistake ("lovlace").
 */
export function rank(query: string, text: string): number {
  const q = fold(query.trim());
  if (q === '') return 1;
  const { plain: name, words } = apart(text);
  if (name === q) return 6;
  if (name.startsWith(q)) return 5;
  const parts = q.split(/\s+/);
  if (parts.every((p) => words.some((w) => w.startsWith(p)))) return 4;
  if (name.includes(q)) return 3;
  if (parts.length === 1 && Math.max(q.length, words.length) <= maxHumps && humps(q, words)) return 2;
  return parts.every((p) => words.some((w) => w.startsWith(p) || near(p, w))) ? 1 : 0;
}

/** Nobody shortens more than that, and every word more may double the ways to do it. */
const maxHumps = 10;

/** Do the letters, cut into pieces, begin some of the words in their order? */
function humps(letters: string, words: string[]): boolean {
  if (letters === '') return true;
  return words.some((word, i) => {
    for (let n = 1; n <= letters.length && word[n - 1] === letters[n - 1]; n++) {
      if (humps(letters.slice(n), words.slice(i + 1))) return true;
    }
    return false;
  });
}

/** Does the word begin so, but for one letter that is wrong, missing, too much, or two that changed places? */
function near(part: string, word: string): boolean {
  if (part.length < 4) return false; // too little to be sure
  let i = 0;
  while (part[i] === word[i]) i++;
  if (i === 0) return false;
  const goesOn = (from: number, at: number): boolean => word.startsWith(part.slice(from), at);
  return goesOn(i + 1, i + 1) || goesOn(i, i + 1) || goesOn(i + 1, i) || (part[i] === word[i + 1] && part[i + 1] === word[i] && goesOn(i + 2, i + 2));
}
