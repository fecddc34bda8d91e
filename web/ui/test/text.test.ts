// @vitest-environment node
// (Node compiles components for the server, where they render to a string.)
import { readFileSync } from 'node:fs';
import { render } from 'svelte/server';
import { describe, expect, test } from 'vitest';
import { safeHref } from '../src/lib/text/address';
import { parse } from '../src/lib/text/parse';
import { isJumbo, plain, preview } from '../src/lib/text/plain';
import Text from '../src/lib/text/Text.svelte';
import { compact, type Short } from './tree';

const fixtures = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../../../testdata/text/${name}.json`, import.meta.url), 'utf8')) as T;

const html = (text: string): string => {
  const { body } = render(Text, { props: { text } });
  return body.replace(/<!--.*?-->/gs, '').replace(/ class="[^"]*"/g, '').trim();
};

describe('stays as it was typed', () => {
  test.each(fixtures<string[]>('as-typed'))('%j', (text) => {
    expect(compact(parse(text))).toEqual([{ text: text.split('\n') }]);
  });
});

describe('is markup', () => {
  test.each(fixtures<{ text: string; tree: Short[]; plain: string }[]>('markup'))('$text', ({ text, tree, plain: said }) => {
    expect(compact(parse(text))).toEqual(tree);
    expect(plain(text)).toBe(said);
  });
});

describe('on the page', () => {
  test('each line has its own direction', () => {
    expect(html('English first\nשלום עולם!')).toContain('<div dir="auto">English first</div><div dir="auto">שלום עולם!</div>');
    expect(html('> שלום')).toContain('<blockquote dir="rtl">');
    expect(html('- שלום\n- hello').match(/<li dir="auto"/g)).toHaveLength(2);
  });

  test('typed numbers are text, not counted by the browser', () => {
    const out = html('1. a\n4. b');
    expect(out.replace(/<[^>]*>/g, '|')).toMatch(/\|1\. \|a\|+4\. \|b/);
    expect(out).not.toContain('<ol');
  });

  test('code keeps its white space and its signs, and shows its language', () => {
    expect(html('```js\n  if (a < b) **x**\n```')).toContain('data-language="js"><code>  if (a &lt; b) **x**');
  });

  test('code shows the characters that turn the direction of text, and has none of them', () => {
    const out = html('`a\u202e b\u2066` and\n```\nx\u2069\n```');
    expect(out).toContain('<code>a<span>[U+202E]</span> b<span>[U+2066]</span></code>');
    expect(out).toContain('<code>x<span>[U+2069]</span></code>');
    expect(out).not.toMatch(/\p{Bidi_Control}/u);
  });

  test('a line that nests directions too deep for links to be isolated shows signs instead', () => {
    const deep = (n: number): string => `${'\u202e'.repeat(n)} https://example.org/`;
    expect(html(`first\n${deep(61)}`)).not.toMatch(/\p{Bidi_Control}/u);
    expect(html(deep(61)).match(/\ufffd/g)).toHaveLength(61);
    expect(html(deep(60)).match(/\u202e/g)).toHaveLength(60);
    expect(html(Array(10).fill(deep(60)).join('\n'))).not.toContain('\ufffd');
  });

  test('where a link leads is shown beside its text', () => {
    expect(html('[the docs](https://example.org/a)').replace(/<[^>]*>/g, '').replace('\u00a0', ' ').trim()).toBe('the docs (example.org)');
  });

  test('links give nothing away', () => {
    const links = html('https://example.org/a_b_c, www.example.org, ada@example.org, [x](https://example.org)').match(/<a [^>]*>/g)!;
    expect(links).toHaveLength(4);
    for (const a of links) {
      expect(a).toContain('rel="noopener nofollow noreferrer"');
      expect(a).toContain('target="_blank"');
    }
  });

  test('line ends of other systems are line ends', () => {
    expect(compact(parse('a\r\nb\rc\nd'))).toEqual([{ text: ['a', 'b', 'c', 'd'] }]);
  });

  test('blank lines before and after the text are not shown', () => {
    expect(compact(parse('\n \na\n\n'))).toEqual([{ text: ['a'] }]);
    expect(compact(parse('\n'))).toEqual([{ text: [''] }]);
  });
});

describe('safety', () => {
  const attacks = [
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '<svg onload=alert(1)>',
    '<a href="javascript:alert(1)">x</a>',
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt:alert(1))',
    '[x](java\tscript:alert(1))',
    '[x](&#106;avascript:alert(1))',
    '[x](data:text/html,<script>alert(1)</script>)',
    '[x](vbscript:msgbox(1))',
    '[x](file:///etc/passwd)',
    '[x](/settings)',
    '[x](//example.org)',
    '![x](javascript:alert(1))',
    '<javascript:alert(1)>',
    '[a](<javascript:alert(1)>)',
    '[x]: javascript:alert(1)\n\n[x]',
    '`</code><script>alert(1)</script>`',
    '```\n</pre><script>alert(1)</script>\n```',
    '```"onmouseover="alert(1)\nx\n```',
    '"><script>alert(1)</script>',
    '[x](https://example.org "onmouseover=alert(1)")',
    '[x](https://example.org/"onmouseover="alert(1))',
    '<https://example.org/"onmouseover="alert(1)>',
    '[x](mailto:ada@example.org?subject="onmouseover="alert(1))',
    '- <b>x</b>\n- [x](javascript:alert(1))',
    '{@html "<script>"}',
  ];

  test.each(attacks)('%j', (text) => {
    const out = html(text);
    const tags = [...out.matchAll(/<\/?([a-z]+)/gi)].map((m) => m[1]!.toLowerCase());
    const allowed = ['div', 'p', 'br', 'strong', 'em', 'del', 'code', 'pre', 'a', 'ul', 'li', 'span', 'bdi', 'blockquote'];
    expect(tags.filter((t) => !allowed.includes(t))).toEqual([]);
    for (const [tag] of out.matchAll(/<[a-z][^>]*>/gi)) {
      const attributes = [...tag.matchAll(/\s([a-z-]+)="([^"]*)"/gi)];
      expect(tag.replace(/\s([a-z-]+)="([^"]*)"/gi, '')).toMatch(/^<[a-z]+\/?>$/i); // nothing but attributes in it
      for (const [, name, value] of attributes) {
        expect(['href', 'title', 'target', 'rel', 'dir', 'tabindex', 'style', 'role', 'aria-level', 'data-language']).toContain(name);
        if (name === 'href') expect(value).toMatch(/^(https?:\/\/|mailto:)/);
        if (name === 'style') expect(value).toMatch(/^--(indent: \d+ch|level: \d);$/);
      }
    }
  });

  test('only addresses with a scheme that a click may open', () => {
    expect(safeHref('https://example.org')).toBe('https://example.org/');
    for (const bad of ['javascript:alert(1)', ' javascript:alert(1)', 'ftp://x', 'settings', '', '#', 'blob:https://x', 'http://']) {
      expect(safeHref(bad)).toBe(null);
    }
  });
});

describe('a preview', () => {
  test.each([
    ['**Bold** and `code`', 'Bold and code'],
    ['> what was said\nthe answer', 'the answer'],
    ['> only said', 'only said'],
    ['- a\n- b', '• a • b'],
    ['one\n\ntwo', 'one two'],
    ['C:\\Users\\*.txt', 'C:\\Users\\*.txt'],
    ['x'.repeat(5000), 'x'.repeat(200)],
  ])('of %j', (text, want) => {
    expect(preview(text)).toBe(want);
  });

  test.each([
    ['a **bold text that goes', 'a bold text that goes'],
    ['~~struck', 'struck'],
    ['a **b ~~c', 'a b c'],
    ['> said\n> **more', 'said more'],
    ['f*ck and **', 'f*ck and **'],
    ['2 *3', '2 *3'],
  ])('of %j, which was cut, shows no mark whose end is missing', (text, want) => {
    expect(preview(text, [], { cut: true })).toBe(want);
  });

  test('of a text that was not cut shows what was typed', () => {
    expect(preview('a **bold')).toBe('a **bold');
  });
});

test('nothing but a few emoji is large', () => {
  expect(isJumbo('🎉')).toBe(true);
  expect(isJumbo('👩‍👩‍👧‍👦 👍🏽')).toBe(true);
  expect(isJumbo('🇫🇷🇩🇪🇯🇵')).toBe(true);
  expect(isJumbo('🎉🎉🎉🎉')).toBe(false);
  expect(isJumbo('ok 👍')).toBe(false);
  expect(isJumbo('1')).toBe(false);
  expect(isJumbo(' ')).toBe(false);
  expect(isJumbo('')).toBe(false);
});
