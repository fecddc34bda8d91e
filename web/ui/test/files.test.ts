import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { files, guardFiles } from '../src/lib/state/files.svelte';

class FakeElement extends EventTarget {
  constructor(public editable: boolean) {
    super();
  }
  closest = (): unknown => (this.editable ? this : null);
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('Element', FakeElement);
});
afterEach(() => {
  vi.runAllTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** What becomes of something that is dragged, dropped or pasted: is it kept from the browser, and is that said? */
function give(type: string, types: string[], editable = false): { prevented: boolean; said: boolean } {
  const target = new FakeElement(editable);
  guardFiles(target);
  const data = { types, dropEffect: 'copy' };
  const e = Object.assign(new Event(type, { cancelable: true }), { dataTransfer: data, clipboardData: data });
  target.dispatchEvent(e);
  return { prevented: e.defaultPrevented, said: files.refused };
}

test.each(['dragenter', 'dragover', 'drop'])('a file never replaces the page, and the user is told: %s', (type) => {
  for (const editable of [true, false]) expect(give(type, ['Files'], editable)).toEqual({ prevented: true, said: true });
});

test('a picture that is dragged from another page is a file', () => {
  expect(give('drop', ['text/uri-list', 'text/html', 'Files'], true)).toEqual({ prevented: true, said: true });
});

test('text and links can be dropped into a box, and are not opened elsewhere', () => {
  expect(give('drop', ['text/plain'], true)).toEqual({ prevented: false, said: false });
  expect(give('drop', ['text/uri-list', 'text/plain'], false)).toEqual({ prevented: true, said: false });
});

test.each([
  ['a picture', ['Files'], true],
  ['a picture from a page', ['text/html', 'Files'], true],
  ['a file with its name', ['text/plain', 'Files'], true],
  ['cells of a table, with a picture of them', ['text/plain', 'text/html', 'Files'], false],
  ['text', ['text/plain', 'text/html'], false],
])('pasting %s', (_, types, refused) => {
  expect(give('paste', types, true)).toEqual({ prevented: refused, said: refused });
});

test('what is said of a file goes away', () => {
  give('drop', ['Files']);
  vi.advanceTimersByTime(5_999);
  expect(files.refused).toBe(true);
  vi.advanceTimersByTime(1);
  expect(files.refused).toBe(false);
});
