// What kind of character stands at a place. Characters are code points.

/** The character at i; empty beyond the ends. */
export function at(s: string, i: number): string {
  if (i < 0 || i >= s.length) return '';
  return String.fromCodePoint(s.codePointAt(i)!);
}

/** The character that ends before i; empty at the beginning. */
export function before(s: string, i: number): string {
  const low = s.charCodeAt(i - 1);
  return low >= 0xdc00 && low <= 0xdfff && i > 1 ? at(s, i - 2) : at(s, i - 1);
}

export const isSpace = (c: string): boolean => /^\s/.test(c);

/** Scripts that put no spaces between words: there a word says nothing about what is beside it. */
const spaceless = /^[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Bopo}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}\p{sc=Tibt}]/u;
export const isSpaceless = (c: string): boolean => spaceless.test(c);

export const isLetter = (c: string): boolean => /^[\p{L}\p{N}\p{M}]/u.test(c);

/** Part of a word in a script that has spaces between words. */
export const isWord = (c: string): boolean => isLetter(c) && !isSpaceless(c);

export const isEmoji = (c: string): boolean => /^[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\ufe0f\u200d]/u.test(c);

/** The only characters that make an address with an @ after them. */
export const isAddress = (c: string | undefined): boolean => c !== undefined && /^[A-Za-z0-9._%+-]/.test(c);

/** Characters without a shape, those that turn the direction of text among them. */
export const hidden = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/u;

/** The direction of a text: that of its first letter, as browsers find it; undefined without letters. */
export function directionOf(text: string): 'ltr' | 'rtl' | undefined {
  const first = /\p{L}/u.exec(text)?.[0];
  if (!first) return undefined;
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u.test(first) ? 'rtl' : 'ltr';
}
