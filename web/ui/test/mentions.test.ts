// @vitest-environment node
import { readFileSync } from 'node:fs';
import { render } from 'svelte/server';
import { describe, expect, test } from 'vitest';
import { completing, named, suggest } from '../src/lib/text/mentions';
import { parse, type Mentioned } from '../src/lib/text/parse';
import { preview } from '../src/lib/text/plain';
import Text from '../src/lib/text/Text.svelte';
import { compact, type Short } from './tree';

const ada = { id: 'a', username: 'ada', display_name: 'Ada Lovelace' };
const adam = { id: 'am', username: 'ada.m', display_name: 'Adam Müller' };
const ben = { id: 'b', username: 'ben_okri', display_name: 'Ben Okri' };
const people = [ada, adam, ben];

describe('whom a text names', () => {
  test.each([
    ['hello @ada', ['a']],
    ['@ada, @ben_okri!', ['a', 'b']],
    ['@ADA twice, @ada', ['a']],
    ['@ada.', ['a']],
    ['@ada.m', ['am']],
    ['@ada.m. And @ben_okri-', ['am', 'b']],
    ['(@ada)', ['a']],
    ['line\n@ada', ['a']],
    ['@adam @ad @nobody', []],
    ['ada@ada x@ada 1@ada .@ada %@ada +@ada -@ada', []],
    ['nobody', []],
  ])('%j', (text, want) => {
    expect(named(text, people)).toEqual(want);
  });

  test('at most fifty, as the server stores', () => {
    const many = Array.from({ length: 60 }, (_, i) => ({ id: String(i), username: `u${i}` }));
    expect(named(many.map((p) => `@${p.username}`).join(' '), many)).toHaveLength(50);
  });
});

describe('only mentions that are shown notify', () => {
  const { members, cases } = JSON.parse(readFileSync(new URL('../../../testdata/text/mentions.json', import.meta.url), 'utf8')) as {
    members: string[];
    cases: { text: string; tree: Short[]; mentions: string[] }[];
  };
  const all = members.map((username) => ({ id: username, username }));

  test.each(cases)('$text', ({ text, tree, mentions }) => {
    expect(compact(parse(text, all))).toEqual(tree);
    expect(named(text, all)).toEqual(mentions);
  });
});

describe('completion', () => {
  test.each([
    ['@', 1, { from: 0, query: '' }],
    ['hi @ad', 6, { from: 3, query: 'ad' }],
    ['hi @ad later', 6, { from: 3, query: 'ad' }],
    ['hi @Ad', 6, { from: 3, query: 'ad' }],
    ['(@a', 3, { from: 1, query: 'a' }],
    ['hi @ad ', 7, null],
    ['me@ada', 6, null],
    ['hi', 2, null],
    ['@ada', 0, null],
    ['你好@be', 5, { from: 2, query: 'be' }],
    ['é@be', 4, { from: 1, query: 'be' }],
    ['/@be', 4, { from: 1, query: 'be' }],
    ['@@be', 4, { from: 1, query: 'be' }],
    ['_@be', 4, { from: 1, query: 'be' }],
    ['@_eve_', 6, { from: 0, query: '_eve_' }],
    ['@你', 2, { from: 0, query: '你' }],
    ['a_@be', 5, null],
    ['5%@be', 5, null],
    ['x.@be', 5, null],
    ['+@be', 4, null],
    ['-@be', 4, null],
    ['@be then', 8, null],
    [`@${'a'.repeat(33)}`, 34, null],
  ])('of %j at %i', (text, caret, want) => {
    expect(completing(text, caret)).toEqual(want);
  });

  test('offers who fits, best first', () => {
    const names = (query: string): string[] => suggest(people, query, 10).map((p) => p.username);
    expect(names('')).toEqual(['ada', 'ada.m', 'ben_okri']);
    expect(names('ada')).toEqual(['ada', 'ada.m']);
    expect(names('müll')).toEqual(['ada.m']);
    expect(names('okri')).toEqual(['ben_okri']);
    expect(names('kri')).toEqual(['ben_okri']);
    expect(names('zz')).toEqual([]);
    expect(suggest(people, '', 2)).toHaveLength(2);
  });
});

describe('a name in a message', () => {
  const shown: Mentioned[] = [
    { id: 'a', username: 'ada', name: 'Ada Lovelace', me: false },
    { id: 'b', username: 'ben_okri', name: 'Ben Okri', me: true },
  ];
  const html = (text: string): string => render(Text, { props: { text, people: shown } }).body.replace(/<!--.*?-->/gs, '');

  test('is what they are called, and oneself stands out', () => {
    expect(html('Hi @ada')).toMatch(/<span class="mention[^"]*" title="@ada">@<bdi>Ada Lovelace<\/bdi><\/span>/);
    expect(html('Hi @ben_okri')).toMatch(/<span class="mention[^"]* me"/);
    expect(html('**@ada** and\n- @ada\n> @ada').match(/Ada Lovelace/g)).toHaveLength(3);
  });

  test('is no name in code or in an address', () => {
    expect(html('`@ada` x@ada.example')).not.toContain('Ada Lovelace');
  });

  test('is there in a list too', () => {
    expect(preview('Hi @ada', shown)).toBe('Hi @Ada Lovelace');
    expect(preview('Hi @ada')).toBe('Hi @ada');
  });
});
