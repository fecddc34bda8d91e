// Characters that turn the direction of text make code read as what it is not (CVE-2021-42574).
// So they are shown by their numbers there, and do nothing.

const controls = /(\p{Bidi_Control})/u;

/** The mark that stands for such a character, as in [U+202E]. */
const mark = (c: string): string => `[U+${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`;

export interface CodePiece {
  text: string;
  /** It is a mark, and the character itself is not in the text. */
  control: boolean;
}

/** Code in pieces: what was typed, and marks. */
export const codePieces = (code: string): CodePiece[] =>
  code
    .split(controls)
    .map((text, i) => (i % 2 === 1 ? { text: mark(text), control: true } : { text, control: false }))
    .filter((p) => p.text !== '');

/** The same as one text. */
export const shownCode = (code: string): string => (controls.test(code) ? codePieces(code).map((p) => p.text).join('') : code);

/** So many characters of a line may open a direction; from 125 on browsers isolate nothing any more. */
const maxOpened = 60;
const opens = /[\u202a-\u202e\u2066-\u2068]/g;

/** The line, with signs in the place of all of them if there are too many: they would turn its links. */
export function tame(line: string): string {
  if (line.length <= maxOpened || (line.match(opens)?.length ?? 0) <= maxOpened) return line;
  return line.replace(opens, '\ufffd');
}
