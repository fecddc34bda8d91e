import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { arrangeEmoji, searchEmoji, toned } from '../src/lib/emoji';
import { en } from '../src/lib/i18n/en';

const file = createRequire(import.meta.url).resolve('emoji-picker-element-data/en/emojibase/data.json');
const raw = JSON.parse(readFileSync(file, 'utf8')) as Parameters<typeof arrangeEmoji>[0];
const all = arrangeEmoji(raw, 99);
const found = (text: string): string[] => searchEmoji(all, text).map((e) => e.emoji);

describe('emoji', () => {
  test('every group has a name', () => {
    expect(all.length).toBe(9);
    for (const g of all) expect(en.emoji.groups[g.id]).not.toBe('');
  });

  test('those that a device does not know are left out', () => {
    const old = arrangeEmoji(raw, 11);
    expect(old.flatMap((g) => g.all).map((e) => e.emoji)).not.toContain('🥲');
    expect(all.flatMap((g) => g.all).map((e) => e.emoji)).toContain('🥲');
  });

  test('are found by name, short name and meaning, the best first', () => {
    expect(found('thumbs up')[0]).toBe('👍');
    expect(found(':tada:')[0]).toBe('🎉');
    expect(found('red heart')).toContain('❤️');
    expect(found('cat')[0]).toMatch(/🐈|🐱/u);
    expect(found('zzzz')).toEqual([]);
    expect(found('  ')).toEqual([]);
  });

  test('come in the skin tone that one has chosen', () => {
    const wave = searchEmoji(all, 'waving hand')[0]!;
    expect(toned(wave, 0)).toBe('👋');
    expect(toned(wave, 4)).toBe('👋🏾');
    expect(toned(searchEmoji(all, 'tada')[0]!, 4)).toBe('🎉');
  });
});
