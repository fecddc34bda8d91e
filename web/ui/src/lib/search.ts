// How well a name answers what somebody typed.

// Names are the same ones with every key; taking them apart is most of the work.
const known = new Map<string, { plain: string; words: string[] }>();
const mostKnown = 5_000;

function apart(text: string): { plain: string; words: string[] } {
  let parts = known.get(text);
  if (!parts) {
    const plain = foldNew(text);
    parts = { plain, words: plain.split(/[\s._-]+/) };
    if (known.size >= mostKnown) known.clear();
    known.set(text, parts);
  }
  return parts;
}

/**
 * What readers leave out when they type: accents, vowel points of Semitic scripts, and what
 * cannot be seen. Marks that make another letter, as in Japanese or Hindi, stay.
 */
const left = /(?![\u3099\u309a])(?=\p{Mn})[\p{sc=Inherited}\p{sc=Hebrew}\p{sc=Arabic}\p{sc=Syriac}]|\p{DI}|\p{Cf}/gu;

/** Latin letters that no decomposition leads to their plain form, and the other small sigma. */
const letters: Record<string, string> = { ł: 'l', ø: 'o', đ: 'd', ð: 'd', þ: 'th', æ: 'ae', œ: 'oe', ħ: 'h', ŧ: 't', ŋ: 'n', ĸ: 'k', ς: 'σ' };

/** As the server's package text folds names for its search (testdata/text-identity/fold.json). */
function foldNew(text: string): string {
  if (/^[ -~]*$/.test(text)) return text.toLowerCase(); // most are, and need no more
  const plain = text.normalize('NFKD').replace(left, '').toLowerCase().toUpperCase().toLowerCase(); // by capitals: ß is ss, ı is i
  return plain.replace(/[łøđðþæœħŧŋĸς]/g, (c) => letters[c]!).normalize('NFC');
}

/** Without accents, capitals, and the width or style of letters. */
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
  if (parts.every((p) => words.some((w) => w.startsWith(p) || (p > '\u2e7f' && w.includes(p))))) return 4; // East Asian names have no spaces
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
