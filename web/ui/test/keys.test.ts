import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { guardComposing } from '../src/lib/keys';

const src = path.resolve(import.meta.dirname, '../src');
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((f) => /\.(svelte|ts)$/.test(f));

/** A key event as browsers send it, and whether a handler of the page saw it. */
function press(o: { key: string; keyCode: number; isComposing: boolean; type?: string }): { seen: boolean; prevented: boolean } {
  const page = new EventTarget();
  guardComposing(page);
  let seen = false;
  page.addEventListener(o.type ?? 'keydown', () => (seen = true), { capture: true });
  const e = Object.assign(new Event(o.type ?? 'keydown', { cancelable: true }), { key: o.key, keyCode: o.keyCode });
  Object.defineProperty(e, 'isComposing', { value: o.isComposing });
  page.dispatchEvent(e);
  return { seen, prevented: e.defaultPrevented };
}

describe('a key of an input method', () => {
  const keys = ['Enter', 'Escape', 'ArrowUp', 'ArrowDown', 'Tab', 'Backspace', 'k', '?', 'Process'];

  test.each(keys)('%s reaches no handler, as Safari sends it after the composition', (key) => {
    expect(press({ key, keyCode: 229, isComposing: false }).seen).toBe(false);
  });

  test.each(keys)('%s reaches no handler while the composition lasts', (key) => {
    expect(press({ key, keyCode: 229, isComposing: true }).seen).toBe(false);
    expect(press({ key, keyCode: 13, isComposing: true }).seen).toBe(false);
  });

  test('reaches no handler when it is released either', () => {
    expect(press({ key: 'ArrowLeft', keyCode: 229, isComposing: false, type: 'keyup' }).seen).toBe(false);
  });

  test('closes no dialog, and is otherwise left to the browser', () => {
    expect(press({ key: 'Escape', keyCode: 229, isComposing: false }).prevented).toBe(true);
    expect(press({ key: 'Enter', keyCode: 229, isComposing: false }).prevented).toBe(false);
  });

  test('differs from the same key of the page', () => {
    expect(press({ key: 'Enter', keyCode: 13, isComposing: false })).toEqual({ seen: true, prevented: false });
    expect(press({ key: 'Escape', keyCode: 27, isComposing: false })).toEqual({ seen: true, prevented: false });
  });

  test('is told apart in one place, before anything else of the page listens', () => {
    const checks = sources.filter((f) => /isComposing|keyCode/.test(readFileSync(path.join(src, f), 'utf8')));
    expect(checks).toEqual(['lib/keys.ts']);
    const main = readFileSync(path.join(src, 'main.ts'), 'utf8');
    expect(main.indexOf('guardComposing(window)')).toBeGreaterThan(0);
    expect(main.indexOf('guardComposing(window)')).toBeLessThan(main.indexOf('mount('));
  });

  test('is kept from listeners of the window too: none is there before the guard', () => {
    // Modules that main.ts imports run first; a listener at their top level would be earlier.
    const early = sources.filter((f) => f.endsWith('.ts') && /^(window\.|document\.)?addEventListener\('key/m.test(readFileSync(path.join(src, f), 'utf8')));
    expect(early).toEqual([]);
  });
});
