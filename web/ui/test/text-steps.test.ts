import { describe, expect, test } from 'vitest';
import type { Block, Inline } from '../src/lib/text/parse';
import { parseCounted } from '../src/lib/text/parse';

// Reading a text takes time in proportion to its length, whatever is in it. The steps are
// counted, so that this does not depend on the machine.

/** The longest message, in characters. */
const longest = 16_384;
/** Steps for each character, at most. */
const most = 16;
/** How deep a tree is: five quotes or a list, and bold, italic twice and struck in a label. */
const deepest = 14;

const people = ['ada', 'a', 'aaa', '_a'].map((username) => ({ id: username, username }));

const depthOfInlines = (inlines: readonly Inline<(typeof people)[0]>[]): number =>
  Math.max(0, ...inlines.map((i) => 1 + ('inlines' in i ? depthOfInlines(i.inlines) : 0)));

const depthOf = (blocks: readonly Block<(typeof people)[0]>[]): number =>
  blocks.reduce((deep, b) => {
    if (b.kind === 'quote') return Math.max(deep, 1 + depthOf(b.blocks));
    const lines = b.kind === 'text' ? b.lines : b.kind === 'list' ? b.items.flatMap((i) => i.lines) : [];
    return lines.reduce((d, l) => Math.max(d, 1 + depthOfInlines(l)), deep);
  }, 0);

function check(text: string): void {
  const { blocks, steps } = parseCounted(text, people);
  expect(steps / (text.length + 1), JSON.stringify(text.slice(0, 60))).toBeLessThan(most);
  expect(depthOf(blocks)).toBeLessThanOrEqual(deepest);
}

const whole = (s: string): string => s.repeat(Math.ceil(longest / s.length)).slice(0, longest);

describe('takes steps in proportion to its length', () => {
  const parts = [
    '*', '**', '***', '* ', '*a', '**a ', 'a*', '*a*', '*a **b ', '_', '__', '_a', 'a_', '_a_', '~', '~~', '~~a', '`', '` ', '`a', '``a` ',
    '[', ']', '[]', '[a]', '[a](', '](', '[a](http://x', '[a](http://x/', '[a.bc](http://x/', '[a](http://x:99999/', '![[', '(', ')', '()', '[](<',
    '[a](mailto:', '[a](mailto:a@b.cc', 'mailto:', 'mailto:a', 'mailto:a@', 'a@', '@', '@a', '@a@', '@_', '@a.', '@ada ', 'a@a.a', 'a@a.aa', 'a.', '_@',
    'http://', 'https://', 'http://a', 'http://a.', 'http://a@', 'http://a:', 'http://a:1', 'http://a/', 'http://a/(', 'http://a/)', 'http://a!', 'http://[',
    'http://[::1]', 'http://a\u202e', 'http://а', 'www.', 'www.a', 'www.a.', 'www.a.b', 'www.a.b@', 'www.a.b!', 'h', 'ht', 'w', 'm',
    '>', '> ', '> > ', '>\n', '> a\n', '> \n', '- ', '- a', '- a\n', '-\n', '* a\n', '1. ', '1. a\n', '1', ' - a\n', '  a\n', '\n', ' ', '\t', '\r',
    '```', '```\n', '```a b\n', '````\n', '``` ```', '|', '|a', '|\n', '|-\n', '|---|\n', '|---|---', 'a|\n---|\n', '\\', '\\*', '<', '<a ', '<!--', '&#x',
    '\u202e', '\ud83d', '\udc00', 'a\u0301', '你', '你@a', '你**', '。', '🎉', '👩‍👩‍👧‍👦', '\u200d', '\u00ad', 'ﷺ', ':', '!', '.', 'a', '1 ', '((', '}{',
  ];

  test.each(parts)('%j again and again', (part) => {
    check(whole(part));
  });

  test('what outsiders froze the page with', () => {
    check(`http://a${'!'.repeat(16_000)}`);
    check(`${'a'.repeat(longest - 2)}@`);
    check(`${'a'.repeat(longest - 2)}@a`);
  });

  test.each([
    ['backticks in runs of every length', Array.from({ length: 180 }, (_, i) => '`'.repeat(i + 1)).join('a')],
    ['backticks in shorter and shorter runs', Array.from({ length: 180 }, (_, i) => '`'.repeat(180 - i)).join('a')],
    ['fences, each shorter than the one before', Array.from({ length: 170 }, (_, i) => `${'`'.repeat(175 - i)}a b`).join('\n')],
    ['fences that nothing ends', '```a b\n'.repeat(2000)],
    ['quotes in quotes', Array.from({ length: 120 }, (_, i) => `${'> '.repeat(i + 1)}a`).join('\n')],
    ['lists in lists', Array.from({ length: 170 }, (_, i) => `${' '.repeat(i)}- a`).join('\n')],
    ['labels in labels', `${'['.repeat(5000)}a${']'.repeat(5000)}(http://x)`],
    ['links in addresses', `${'[a](http://x/'.repeat(800)}${')'.repeat(800)}`],
    ['links in addresses that are none', `${'[a](http://x:99999/'.repeat(600)}${')'.repeat(600)}`],
    ['links in addresses with what ends them behind', `${'[a](http://x/'.repeat(800)}\u202e${')'.repeat(800)}`],
    ['round brackets in an address', `http://x/${'('.repeat(8000)}${')'.repeat(8000)}`],
    ['marks around everything', `${'**'.repeat(4000)}a${'**'.repeat(4000)}`],
    ['marks of every kind open', `${'*a _b **c ~~d '.repeat(500)}${'e* f_ g** h~~ '.repeat(500)}`],
    ['a name after many full stops', `@ada${'.'.repeat(16_000)}`],
    ['underscores before names', `${'_'.repeat(8000)}@ada${'_'.repeat(8000)}`],
    ['an item with many lines', `- a\n${'  b\n'.repeat(3000)}`],
    ['a table with many rules', '|---|\n'.repeat(2500)],
  ])('%s', (_, text) => {
    check(text);
  });
});

/** Numbers that look random and are the same in every run. */
function numbers(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed * 1_664_525 + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

const pieces = [
  '*', '**', '_', '~~', '`', '``', '```', '[', '](', ')', '(', '@', '@ada', '\\', '\n', ' ', '> ', '>', '- ', '1. ', '+ ', '|', '---', 'http://', 'https://a.bc', 'www.', 'mailto:',
  'a', 'b c', 'ß', '你', '，', '。', '（', '）', '“', '”', '.', ',', ':', '/', '!', '?', '#', '\u202e', '\u200d', '🎉', '5', '-', "'", '"', '<', '=', '%', '\t', '  ', '[a](http://a.bc/x)',
];

const shown = (blocks: readonly Block<(typeof people)[0]>[]): string => {
  const ofLine = (inlines: readonly Inline<(typeof people)[0]>[]): string =>
    inlines.map((i) => (i.kind === 'text' || i.kind === 'code' ? i.text : i.kind === 'mention' ? `@${i.person.username}` : ofLine(i.inlines))).join('');
  return blocks
    .map((b) => {
      if (b.kind === 'code') return `${b.language ?? ''}\n${b.text}`;
      if (b.kind === 'quote') return shown(b.blocks);
      return b.kind === 'text' ? b.lines.map(ofLine).join('\n') : b.items.map((i) => `${i.marker} ${i.lines.map(ofLine).join('\n')}`).join('\n');
    })
    .join('\n');
};

describe('of any text', () => {
  const random = numbers(11);
  const texts = Array.from({ length: 4000 }, () => Array.from({ length: 1 + random(40) }, () => pieces[random(pieces.length)]!).join(''));

  test('takes steps in proportion to its length, and makes no deep tree', () => {
    for (const text of texts) check(text);
    for (let i = 0; i < 40; i++) check(whole(Array.from({ length: 1 + random(12) }, () => pieces[random(pieces.length)]!).join('')));
  });

  test('nothing but marks, quotation signs and the targets of links is taken away, and nothing added', () => {
    // What is behind a label is shown as where it leads.
    const lasting = (s: string): string => s.replace(/[\s*_~`>[\]()•+-]/g, '');
    for (const text of texts) {
      const { blocks } = parseCounted(text, people);
      const links = JSON.stringify(blocks).includes('"target"');
      if (links) continue;
      expect(lasting(shown(blocks)), JSON.stringify(text)).toBe(lasting(text.replaceAll('@ADA', '@ada')));
    }
  });

  test('backslashes are never taken away', () => {
    const count = (s: string): number => s.split('\\').length;
    for (const text of texts) expect(count(shown(parseCounted(text, people).blocks)), JSON.stringify(text)).toBe(count(text));
  });
});
