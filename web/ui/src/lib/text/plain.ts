import { shownCode } from './controls';
import { cut } from './graphemes';
import { parse, type Block, type Inline, type Mentioned } from './parse';

// A text without its markup, for where it is shown small: lists, quotes, notifications.

export const plainLine = (inlines: readonly Inline[]): string =>
  inlines
    .map((i) => {
      if (i.kind === 'text') return i.text;
      if (i.kind === 'code') return shownCode(i.text);
      return i.kind === 'mention' ? `@${i.person.name}` : plainLine(i.inlines);
    })
    .join('');

const ofBlock = (b: Block): string => {
  if (b.kind === 'text') return b.lines.map(plainLine).join('\n');
  if (b.kind === 'code') return shownCode(b.text);
  if (b.kind === 'quote') return plainBlocks(b.blocks);
  return b.items.map((item) => `${item.marker} ${item.lines.map(plainLine).join(' ')}`).join('\n');
};

// What is quoted was written before; what counts is the answer.
export function plainBlocks(blocks: readonly Block[]): string {
  const own = blocks.filter((b) => b.kind !== 'quote');
  return (own.length > 0 ? own : blocks).map(ofBlock).join('\n');
}

/** What a text says, in lines. Of a text that was cut, a mark whose end is missing is no text. */
export const plain = (text: string, people: readonly Mentioned[] = [], o: { cut?: boolean } = {}): string => plainBlocks(parse(text, people, o));

/** As much of a long text as is read for a preview. */
const longest = 1_000;

/** The text on one line without its markup, for a list. At most 200 characters. */
export function preview(text: string, people: readonly Mentioned[] = [], o: { cut?: boolean } = {}): string {
  const part = cut(text, longest);
  return cut(plain(part, people, { cut: o.cut || part !== text }).replace(/\s+/g, ' ').trim(), 200);
}

/** The server quotes so many characters of a message, less an emoji that would be cut in two. */
const longestQuote = 200 - 30;

/** The same of a quote, which may have been cut inside its markup. */
export const previewOfQuote = (text: string, people: readonly Mentioned[]): string => preview(text, people, { cut: text.length >= longestQuote });

const emoji = /^[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u{fe0f}\u{200d}\s]+$/u;

/** Nothing but one to three emoji, which are shown large. */
export function isJumbo(text: string): boolean {
  if (text.length > 40 || !emoji.test(text)) return false;
  const count = [...new Intl.Segmenter().segment(text.replace(/\s/g, ''))].length;
  return count >= 1 && count <= 3;
}
