// @vitest-environment node
// (Node compiles components for the server, where they render to a string.)
import { render } from 'svelte/server';
import { describe, expect, test } from 'vitest';
import { isJumbo, parse, preview, safeHref } from '../src/lib/text/parse';
import Text from '../src/lib/text/Text.svelte';

const html = (text: string): string => {
  const { body } = render(Text, { props: { text } });
  return body.replace(/<!--.*?-->/gs, '').replace(/ class="[^"]*"/g, '').trim();
};
const inner = (text: string): string => html(text).replace(/^<div dir="auto">\s*/, '').replace(/\s*<\/div>$/, '');

describe('what is meant as markup', () => {
  test.each([
    ['plain', '<p>plain</p>'],
    ['**b** *i* ~~s~~ `c`', '<p><strong>b</strong> <em>i</em> <del>s</del> <code>c</code></p>'],
    ['one\ntwo *x*', '<p>one<br/>two <em>x</em></p>'],
    ['a\n\nb *x*', '<p>a</p><p>b <em>x</em></p>'],
    ['- a\n- b', '<ul><li><p>a</p></li><li><p>b</p></li></ul>'],
    ['3. a\n4. b', '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol>'],
    ['> said\nanswer', '<blockquote><p>said</p></blockquote><p>answer</p>'],
    ['- [x] done', '<ul><li><p>[x] done</p></li></ul>'],
  ])('%j', (text, want) => {
    expect(inner(text).replace(/>\s+</g, '><')).toBe(want.replace(/>\s+</g, '><'));
  });

  test('code keeps its white space and its signs', () => {
    expect(html('```js\n  if (a < b) **x**\n```')).toContain('  if (a &lt; b) **x**');
  });

  test('addresses become links that give nothing away', () => {
    const out = html('https://example.org/a_b_c and www.example.org and ada@example.org');
    expect(out.match(/<a /g)).toHaveLength(3);
    expect(out).toContain('href="https://example.org/a_b_c"');
    expect(out).toContain('href="http://www.example.org/"');
    expect(out).toContain('href="mailto:ada@example.org"');
    for (const a of out.match(/<a [^>]*>/g)!) {
      expect(a).toContain('rel="noopener nofollow noreferrer"');
      expect(a).toContain('target="_blank"');
    }
  });
});

describe('what nobody means as markup stays as it was typed', () => {
  test.each([
    '# not a heading',
    'a\n# not a heading\nb',
    'under\n===',
    '---',
    '| a | b |\n|---|---|\n| 1 | 2 |',
    '    four spaces',
    'snake_case_name and 2 * 3 * 4',
    '[ref]: https://example.org',
    'AT&amp;T &lt;3',
    '<b>bold?</b>',
    '<!-- a comment -->',
    '<div>\nblock\n</div>',
  ])('%j', (text) => {
    const shown = html(text)
      .replace(/<br\/>/g, '\n')
      .replace(/<a [^>]*>|<\/a>|<\/?div[^>]*>|<\/?p>/g, '')
      .replace(/&lt;/g, '<')
      .replace(/&amp;/g, '&');
    expect(shown.trim().replace(/\s+/g, ' ')).toBe(text.trim().replace(/\s+/g, ' '));
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
    '"><script>alert(1)</script>',
    '[x](https://example.org "onmouseover=alert(1)")',
    '[x](https://example.org/"onmouseover="alert(1))',
    '<https://example.org/"onmouseover="alert(1)>',
    '{@html "<script>"}',
  ];

  test.each(attacks)('%j', (text) => {
    const out = html(text);
    const tags = [...out.matchAll(/<\/?([a-z]+)/gi)].map((m) => m[1]!.toLowerCase());
    const allowed = ['div', 'p', 'br', 'strong', 'em', 'del', 'code', 'pre', 'a', 'ul', 'ol', 'li', 'blockquote'];
    expect(tags.filter((t) => !allowed.includes(t))).toEqual([]);
    for (const [tag] of out.matchAll(/<[a-z][^>]*>/gi)) {
      const attributes = [...tag.matchAll(/\s([a-z-]+)="([^"]*)"/gi)];
      expect(tag.replace(/\s([a-z-]+)="([^"]*)"/gi, '')).toMatch(/^<[a-z]+\/?>$/i); // nothing but attributes in it
      for (const [, name, value] of attributes) {
        expect(['href', 'title', 'target', 'rel', 'dir', 'tabindex', 'start']).toContain(name);
        if (name === 'href') expect(value).toMatch(/^(https?:\/\/|mailto:)/);
      }
    }
  });

  test('only addresses with a scheme that a click may open', () => {
    expect(safeHref('https://example.org')).toBe('https://example.org/');
    for (const bad of ['javascript:alert(1)', ' javascript:alert(1)', 'ftp://x', 'settings', '', '#', 'blob:https://x', 'http://']) {
      expect(safeHref(bad)).toBe(null);
    }
  });

  test('whatever is typed is shown, quickly, and never throws', () => {
    const nasty = [
      '*', '[', '>', '> ', '`', '` ', '_a', '[a](', '![[', '*a **b ', 'a**b', 'a@', 'http://a.', '~', '|a', '\n', ' ', '- ', '1. ',
      '\\', '<a ', '<!--', '<', 'www.', '((', '[](<', '> - ', '\u202e', '\ud83d', 'a\u0301', '&#x',
    ].map((s) => s.repeat(Math.floor(16384 / s.length)));
    for (const text of nasty) {
      const start = performance.now();
      parse(text);
      // Some 20 ms on an idle machine; what backtracks takes minutes on any.
      expect(performance.now() - start, JSON.stringify(text.slice(0, 8))).toBeLessThan(5_000);
    }
  });

  test('nesting ends somewhere', () => {
    const deep = Array.from({ length: 11 }, (_, i) => '>'.repeat(i + 1) + ' a').join('\n');
    expect(html(deep).match(/<blockquote/g)!.length).toBeLessThanOrEqual(9);
    expect(html('**'.repeat(40) + 'x')).toContain('x');
  });
});

describe('a line for the list', () => {
  test.each([
    ['**Bold** and `code`', 'Bold and code'],
    ['> what was said\nthe answer', 'the answer'],
    ['> only said', 'only said'],
    ['- a\n- b', 'a b'],
    ['one\n\ntwo', 'one two'],
    ['x'.repeat(5000), 'x'.repeat(200)],
  ])('%j', (text, want) => {
    expect(preview(text)).toBe(want);
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
