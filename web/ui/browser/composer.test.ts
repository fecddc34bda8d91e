import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { box, complaintsOf, context, launch, phone, signedIn } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

// The box that messages are written in: what is inserted into it, and what is kept of it.
describe('the composer', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let page: Page;
  let group = '';
  let talk = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Ben Okri');
    const body = { kind: 'group', title: 'Engine room', member_ids: [ben.id] };
    group = (await api<{ id: string }>(parley, ada.token, 'POST', 'conversations', body)).id;
    talk = await direct(parley, ada, ben);
    page = await signedIn(browser, parley, ada);
    await page.goto(`${parley.url}/c/${group}`);
    await box(page, 'Engine room').waitFor();
  });

  afterAll(async () => {
    if (page) expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  const caret = (of: Locator, at: number, to = at): Promise<void> =>
    of.evaluate((e: HTMLTextAreaElement, [at, to]) => e.setSelectionRange(at!, to!), [at, to]);
  const focused = (of: Locator): Promise<boolean> => of.evaluate((e) => e === document.activeElement);

  /** Picks an emoji as a mouse or a finger does. */
  async function pick(on: Page, name: string, by: 'click' | 'tap'): Promise<void> {
    await on.getByRole('button', { name: 'Insert an emoji' })[by]();
    const sheet = on.getByRole('dialog', { name: 'Pick an emoji' });
    await sheet.getByRole('button', { name, exact: true }).first()[by]();
    await sheet.waitFor({ state: 'hidden' });
  }

  describe('an emoji goes where the caret is', () => {
    test.each(['click', 'tap'] as const)('by %s, in the middle, over a selection and at the end', async (by) => {
      const on = by === 'click' ? page : await signedIn(browser, parley, ben, phone);
      await on.goto(`${parley.url}/c/${group}`);
      const text = box(on, 'Engine room');
      await text.fill('good morning');
      await caret(text, 4);
      await pick(on, 'grinning face', by);
      await expect.poll(() => text.inputValue()).toBe('good😀 morning');
      expect(await focused(text)).toBe(true);
      expect(await text.evaluate((e: HTMLTextAreaElement) => e.selectionStart)).toBe(6);
      await pick(on, 'grinning face', by); // another one follows it
      await expect.poll(() => text.inputValue()).toBe('good😀😀 morning');
      await caret(text, 9, 16);
      await pick(on, 'grinning face', by);
      await expect.poll(() => text.inputValue()).toBe('good😀😀 😀');
      await text.press('End');
      await on.keyboard.type('!');
      expect(await text.inputValue()).toBe('good😀😀 😀!');
      await text.fill('');
      if (on !== page) await on.context().close();
    });

    test('also into a message that is being edited', async () => {
      await page.goto(`${parley.url}/c/${group}`);
      await box(page, 'Engine room').fill('to be changed');
      await page.keyboard.press('Enter');
      await page.getByRole('log').getByText('to be changed').waitFor();
      await expect.poll(() => box(page, 'Engine room').inputValue()).toBe('');
      await page.keyboard.press('ArrowUp');
      const edit = page.getByRole('textbox', { name: 'Edit your message' });
      await caret(edit, 2);
      await pick(page, 'grinning face', 'click');
      await expect.poll(() => edit.inputValue()).toBe('to😀 be changed');
      await page.keyboard.press('Escape');
    });
  });

  test('what was inserted can be undone, and done again', async () => {
    const text = box(page, 'Engine room');
    await text.fill('');
    await text.focus();
    await page.keyboard.type('hi there');
    await caret(text, 2);
    await pick(page, 'grinning face', 'click');
    await expect.poll(() => text.inputValue()).toBe('hi😀 there');
    await page.keyboard.press('Control+z');
    await expect.poll(() => text.inputValue()).toBe('hi there');
    await page.keyboard.press('Control+Shift+z');
    await expect.poll(() => text.inputValue()).toBe('hi😀 there');

    await text.press('End');
    await page.keyboard.type(' @be');
    await page.getByRole('option', { name: /Ben Okri/ }).waitFor();
    await page.keyboard.press('Tab');
    await expect.poll(() => text.inputValue()).toBe('hi😀 there @ben.okri ');
    await page.keyboard.press('Control+z');
    await expect.poll(() => text.inputValue()).toMatch(/^hi😀 there @?(be)?$/);
    await text.fill('');
  });
});
