import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

// The palette as the style sheet has it: every pair of text and ground that occurs.

const css = readFileSync(path.resolve(import.meta.dirname, '../src/app.css'), 'utf8');
const palette = new Map([...css.matchAll(/--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/g)].map(([, name, light, dark]) => [name!, { light: light!, dark: dark! }]));

function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const c = parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function contrast(a: string, b: string): number {
  const [lo, hi] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (hi! + 0.05) / (lo! + 0.05);
}

const grounds = ['ground', 'panel', 'raised', 'hover', 'chosen', 'bubble', 'bubble-mine'];
const pairs: [text: string, ground: string, least: number][] = [
  ...grounds.flatMap((g): [string, string, number][] => [['text', g, 7], ['text-soft', g, 4.5], ['link', g, 4.5]]),
  ...['ground', 'panel', 'raised', 'hover', 'danger-ground', 'chosen'].map((g): [string, string, number] => ['danger', g, 4.5]),
  ...['ground', 'panel', 'chosen', 'hover'].map((g): [string, string, number] => ['accent', g, 4.5]),
  ['on-accent', 'accent', 4.5],
  ['on-accent', 'accent-hover', 4.5],
  ['text-soft', 'line', 4.5],
  ['on-notice', 'notice', 4.5],
  // A message that names the reader.
  ['text', 'named', 7],
  ['text-soft', 'named', 4.5],
  ['link', 'named', 4.5],
  // What shows where a box is, and where the focus is.
  ['line-strong', 'panel', 3],
  ['line-strong', 'ground', 3],
  ['accent', 'raised', 3],
  // A tick that says read; the dot of who is here.
  ['accent', 'bubble-mine', 4.5],
  ['online', 'panel', 3],
];

/** The colours of people: of all that a name can have, on every ground that it stands on. */
function hex(h: number, s: number, l: number): string {
  const a = s * Math.min(l, 1 - l);
  const f = (n: number): string => {
    const k = (n + h / 30) % 12;
    return Math.round(255 * (l - a * Math.max(-1, Math.min(k - 3, 9 - k, 1)))).toString(16).padStart(2, '0');
  };
  return `#${f(0)}${f(8)}${f(4)}`;
}

const ui = path.resolve(import.meta.dirname, '../src/lib/ui');
const named = ['MessageRow', 'Quote'].map((file) => {
  const rule = /color: light-dark\(hsl\(var\(--hue\) (\d+)% (\d+)%\), hsl\(var\(--hue\) (\d+)% (\d+)%\)\)/.exec(readFileSync(path.join(ui, `${file}.svelte`), 'utf8'))!;
  const [ls, ll, ds, dl] = rule.slice(1).map((n) => Number(n) / 100);
  return { file, light: [ls!, ll!] as const, dark: [ds!, dl!] as const };
});

describe.each(['light', 'dark'] as const)('names, %s', (theme) => {
  test.each(named)('in $file', (of) => {
    for (let hue = 0; hue < 360; hue += 2) {
      for (const ground of ['bubble', 'bubble-mine', 'named', 'raised']) {
        expect(contrast(hex(hue, ...of[theme]), palette.get(ground)![theme])).toBeGreaterThanOrEqual(4.5);
      }
    }
  });
});

describe.each(['light', 'dark'] as const)('%s', (theme) => {
  test.each(pairs)('%s on %s is at least %f to 1', (text, ground, least) => {
    expect(contrast(palette.get(text)![theme], palette.get(ground)![theme])).toBeGreaterThanOrEqual(least);
  });
});
