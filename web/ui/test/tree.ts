import type { Block, Inline } from '../src/lib/text/parse';
import type { Named } from '../src/lib/text/usernames';

// The tree of a text in the short form of testdata/text: text is a string, a line of several
// parts is a list, and everything else an object named after its kind.

export type Short = string | { [kind: string]: unknown } | Short[];

const inline = (i: Inline<Named>): Short => {
  if (i.kind === 'text') return i.text;
  if (i.kind === 'mention') return { mention: i.person.username };
  if (i.kind === 'code') return { code: i.text };
  if (i.kind === 'link') return { link: i.href, text: line(i.inlines), ...(i.target === undefined ? {} : { target: i.target }) };
  return { [i.kind]: line(i.inlines) };
};

const line = (inlines: readonly Inline<Named>[]): Short => {
  const all = inlines.map(inline);
  return all.length === 0 ? '' : all.length === 1 && typeof all[0] === 'string' ? all[0] : all;
};

export const compact = (blocks: readonly Block<Named>[]): Short[] =>
  blocks.map((b): Short => {
    if (b.kind === 'text') return { text: b.lines.map(line) };
    if (b.kind === 'code') return { code: b.text, ...(b.language === undefined ? {} : { language: b.language }) };
    if (b.kind === 'quote') return { quote: compact(b.blocks) };
    return { list: b.items.map((i) => ({ marker: i.marker, level: i.level, lines: i.lines.map(line) })) };
  });
