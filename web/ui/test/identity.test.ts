import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { nameProblem } from '../src/lib/account';
import { arrangeEmoji } from '../src/lib/emoji';
import { groupTitleProblem } from '../src/lib/rights';
import { fold, rank } from '../src/lib/search';
import { fold as foldEntry, quoteOf } from '../src/lib/state/fold';
import { People } from '../src/lib/state/people.svelte';
import { cut, initial } from '../src/lib/text/graphemes';
import { canonicalEmoji, visible } from '../src/lib/text/identity';
import { suggest } from '../src/lib/text/mentions';
import { preview } from '../src/lib/text/plain';
import { action, me, message, you } from './make';

// What the server's package text promises, by the same vectors.

const vectors = <T>(name: string): T => JSON.parse(readFileSync(path.resolve(import.meta.dirname, `../../../testdata/text-identity/${name}.json`), 'utf8')) as T;
const shown = (text: string): string => JSON.stringify(text).replace(/[^ -~]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);

describe('emoji', () => {
  const { same, other } = vectors<{ same: string[][]; other: string[][] }>('emoji');

  test('every form of a reaction becomes the one that the server stores', () => {
    for (const forms of same) for (const form of forms) expect(shown(canonicalEmoji(form))).toBe(shown(forms[0]!));
    for (const [a, b] of other) expect(canonicalEmoji(a!)).not.toBe(canonicalEmoji(b!));
  });

  test('reactions in different forms are one chip, and each form takes them back', () => {
    for (const forms of same) {
      const rows = [message(1)];
      const react = (kind: 'reaction_added' | 'reaction_removed', emoji: string, sender_id: string) => action(2, kind, 1, { emoji, sender_id });
      const both = [react('reaction_added', forms[0]!, me), react('reaction_added', forms.at(-1)!, you)].reduce(foldEntry, rows);
      expect(both[0]!.reactions).toEqual([{ emoji: forms[0], user_ids: [me, you] }]);
      expect(foldEntry(both, react('reaction_removed', forms.at(-1)!, me))[0]!.reactions).toEqual([{ emoji: forms[0], user_ids: [you] }]);
    }
  });

  test('the picker offers no emoji in another form', () => {
    const raw = JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../../../node_modules/emoji-picker-element-data/en/emojibase/data.json'), 'utf8')) as Parameters<typeof arrangeEmoji>[0];
    const all = arrangeEmoji(raw, 99).flatMap((g) => g.all.flatMap((e) => [e.emoji, ...e.tones]));
    expect(all.length).toBeGreaterThan(3000);
    for (const emoji of all) expect(canonicalEmoji(emoji)).toBe(emoji);
  });
});

describe('what can be seen', () => {
  const v = vectors<{ visible: string[]; invisible: string[] }>('visible');

  test('can be sent, also where little of it can', () => {
    for (const text of v.visible) expect([shown(text), visible(text)]).toEqual([shown(text), true]);
  });

  test('nothing to see is neither sent, nor a name, nor a title', () => {
    for (const text of v.invisible) {
      expect([shown(text), visible(text)]).toEqual([shown(text), false]);
      expect(nameProblem(text)).toBeTruthy();
      expect(groupTitleProblem(text)).toBeTruthy();
    }
    for (const [name] of vectors<{ kept: string[][] }>('names').kept) expect(nameProblem(name!) ?? groupTitleProblem(name!)).toBeUndefined();
  });
});

describe('a search', () => {
  const v = vectors<{ fold: string[][]; found: string[][]; missed: string[][] }>('fold');

  test.each(v.fold)('compares %s as %s', (text, want) => expect(fold(text)).toBe(want));

  test.each(v.found.map(([name, ...queries]) => ({ name: name!, queries })))('finds $name by $queries', ({ name, queries }) => {
    for (const q of queries) expect([q, rank(q, name)]).not.toEqual([q, 0]);
  });

  test('for a mention finds names without accents and in the middle of Japanese ones', () => {
    const people = ['José Álvarez', '山田中', 'Jürgen Müller'].map((display_name, i) => ({ id: String(i), username: `x${i}`, display_name }));
    expect(suggest(people, 'alvarez', 9).map((p) => p.id)).toEqual(['0']);
    expect(suggest(people, '田', 9).map((p) => p.id)).toEqual(['1']);
    expect(suggest(people, 'muller', 9).map((p) => p.id)).toEqual(['2']);
  });
});

describe('a cut text', () => {
  const v = vectors<{ cut: { text: string; limit: number; cut: string }[] }>('cut');
  const family = '👨‍👩‍👧‍👦';

  test('ends with a whole character', () => {
    for (const c of v.cut) expect(shown(cut(c.text, c.limit))).toBe(shown(c.cut));
  });

  test('is a quote of 200 characters, and a preview', () => {
    expect(quoteOf(message(1, { body: 'x'.repeat(196) + family })).body).toBe('x'.repeat(196));
    expect(preview('x'.repeat(196) + family)).toBe('x'.repeat(196));
    expect(quoteOf(message(1, { body: '字'.repeat(201) })).body).toBe('字'.repeat(200));
  });

  test('is the letter of an avatar, with few marks', () => {
    expect(initial('Ada')).toBe('A');
    expect(initial(`${family}Ada`)).toBe(family);
    expect(initial('❤️')).toBe('❤️');
    expect(initial('1️⃣')).toBe('1️⃣');
    expect(initial(`z${'\u0335'.repeat(40)}algo`)).toBe('z\u0335\u0335');
    expect(initial('')).toBe('');
  });
});

describe('people of the same name', () => {
  const people = new People(async () => []);
  people.put([
    { id: 'a', username: 'jose', display_name: 'José Álvarez' },
    { id: 'b', username: 'ben', display_name: 'Ben Okri' },
  ]);

  test('are told apart by their usernames, and nobody else', () => {
    expect(people.label('a')).toBe('José Álvarez');
    people.put([{ id: 'c', username: 'jose2', display_name: 'Jose  Alvarez' }]);
    expect(['a', 'b', 'c'].map((id) => people.label(id))).toEqual(['José Álvarez (@jose)', 'Ben Okri', 'Jose  Alvarez (@jose2)']);
    expect(people.mentioned(['a'], me)).toMatchObject([{ name: 'José Álvarez (@jose)' }]);
  });

  test('until one of them takes another name', () => {
    people.put([{ id: 'c', username: 'jose2', display_name: 'Joe' }]);
    expect(['a', 'c'].map((id) => people.handle(id))).toEqual(['', '']);
  });
});
