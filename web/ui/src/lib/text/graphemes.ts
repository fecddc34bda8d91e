// Where a text may be cut: never within what readers see as one character, such as an emoji or
// a letter with its accents. The server's package text does the same (testdata/text-identity).

const segmenter = new Intl.Segmenter();

/** The index after the first so many code points. */
function indexAfter(text: string, count: number): number {
  let at = 0;
  while (count-- > 0 && at < text.length) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  return at;
}

/**
 * The whole characters among the first so many code points. A first character that is longer,
 * as with thousands of accents, is cut.
 */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  const end = indexAfter(text, max);
  if (end >= text.length) return text;
  // Whether a character ends here depends on one code point more, and on nothing after it.
  const head = text.slice(0, end + indexAfter(text.slice(end, end + 2), 1));
  return head.slice(0, segmenter.segment(head).containing(end)!.index || end);
}

/** The first character of a word, to stand for it: of an emoji all of it, of a letter two accents at most. */
export const initial = (word: string): string =>
  (segmenter.segment(word.slice(0, 64)).containing(0)?.segment ?? '').replace(/^(.\p{M}{2})\p{M}+/su, '$1');
