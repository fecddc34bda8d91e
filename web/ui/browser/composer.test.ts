import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { box, complaintsOf, launch, phone, signedIn, signIn, texts, write } from './browser';
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
      await page.getByRole('log').getByRole('img', { name: /^(Sent|Delivered)/ }).last().waitFor();
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

  test('a closed dialog leaves the caret where it was', async () => {
    const text = box(page, 'Engine room');
    await text.fill('over there');
    await caret(text, 4);
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await expect.poll(() => text.evaluate((e: HTMLTextAreaElement) => e.selectionStart)).toBe(4);
    await page.keyboard.type(' and');
    expect(await text.inputValue()).toBe('over and there');
    await text.fill('');
  });

  describe('a key that ends the composition of an input method', () => {
    /** As Safari sends it: after the composition, with the key code that says so. */
    const end = (of: Locator, key: string): Promise<boolean> =>
      of.evaluate((e, key) => {
        e.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true, data: '日本' }));
        return e.dispatchEvent(new KeyboardEvent('keydown', { key, keyCode: 229, isComposing: false, bubbles: true, cancelable: true }));
      }, key);

    test('sends nothing and saves nothing', async () => {
      const before = await texts(page);
      const text = box(page, 'Engine room');
      await text.fill('日本');
      await end(text, 'Enter');
      await end(text, 'Escape');
      expect(await text.inputValue()).toBe('日本');
      await text.fill('');
      await end(text, 'ArrowUp');
      expect(await page.getByRole('textbox', { name: 'Edit your message' }).count()).toBe(0);
      await text.press('ArrowUp');
      const edit = page.getByRole('textbox', { name: 'Edit your message' });
      await edit.fill('日本');
      await end(edit, 'Enter');
      await end(edit, 'Escape');
      expect(await edit.inputValue()).toBe('日本');
      await edit.press('Escape');
      expect(await texts(page)).toEqual(before);
    });

    test('chooses no member to mention', async () => {
      const text = box(page, 'Engine room');
      await text.fill('@be');
      await page.getByRole('option', { name: /Ben Okri/ }).waitFor();
      for (const key of ['Enter', 'Tab', 'Escape']) await end(text, key);
      expect(await text.inputValue()).toBe('@be');
      expect(await page.getByRole('option', { name: /Ben Okri/ }).count()).toBe(1);
      await text.fill('');
    });

    test('opens, chooses and closes nothing in dialogs', async () => {
      await page.keyboard.press('Control+k');
      const find = page.getByRole('dialog').getByRole('combobox');
      await find.fill('be');
      await page.getByRole('option', { name: /Ben Okri/ }).waitFor();
      await end(find, 'Enter');
      await end(find, 'Escape');
      expect(await find.inputValue()).toBe('be');
      expect(page.url()).toContain(group);
      await page.keyboard.press('Escape');

      await page.goto(`${parley.url}/?show=new`);
      const people = page.getByRole('dialog').getByRole('combobox');
      await people.fill('be');
      await page.getByRole('option', { name: /Ben Okri/ }).waitFor();
      await end(people, 'Enter');
      expect(await page.getByRole('list', { name: 'Chosen people' }).count()).toBe(0);
      expect(await people.inputValue()).toBe('be');
      await page.keyboard.press('Escape');

      await page.goto(`${parley.url}/c/${group}?show=group`);
      await page.getByRole('button', { name: 'Rename the group' }).click();
      const title = page.getByLabel('Name of the group');
      await title.fill('日本');
      await end(title, 'Escape');
      expect(await title.inputValue()).toBe('日本');
      await title.press('Escape');
      await page.goto(`${parley.url}/c/${group}`);
      await page.getByRole('button', { name: 'Insert an emoji' }).click();
      const search = page.getByRole('searchbox', { name: 'Search emoji' });
      await search.fill('party popper');
      await page.getByRole('button', { name: 'party popper' }).waitFor();
      await end(search, 'Enter');
      expect(await search.isVisible()).toBe(true);
      await search.press('Escape'); // empties it
      await search.press('Escape');
      await search.waitFor({ state: 'detached' });
      expect(await box(page, 'Engine room').inputValue()).toBe('');
    });
  });

  test('a file that is dropped or pasted does not replace the page, and the user is told', async () => {
    const give = (type: string): Promise<boolean> =>
      page.evaluate((type) => {
        const data = new DataTransfer();
        data.items.add(new File(['x'], 'x.png', { type: 'image/png' }));
        const on = document.activeElement ?? document.body;
        const e = type === 'paste' ? new ClipboardEvent(type, { clipboardData: data, bubbles: true, cancelable: true }) : new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
        return on.dispatchEvent(e);
      }, type);
    const said = page.getByText('Files can’t be sent yet.');
    expect(await give('paste')).toBe(false);
    await said.waitFor();
    await said.waitFor({ state: 'detached' });
    for (const type of ['dragenter', 'dragover', 'drop']) expect(await give(type)).toBe(false);
    await said.waitFor();
  });

  describe('what is not sent yet', () => {
    test('a half-finished edit is there after a reload, and marked in the list', async () => {
      await write(page, 'Engine room', 'to be edited');
      await page.getByRole('log').getByText('to be edited').waitFor();
      await page.getByRole('log').getByRole('img', { name: /^(Sent|Delivered)/ }).last().waitFor();
      await box(page, 'Engine room').fill('a draft beside it');
      await page.getByRole('log').getByText('to be edited').hover();
      await page.getByRole('toolbar').getByRole('button', { name: 'More actions' }).click();
      await page.getByRole('menuitem', { name: 'Edit' }).click();
      const edit = page.getByRole('textbox', { name: 'Edit your message' });
      await edit.fill('half edited');
      await page.reload();
      await expect.poll(() => edit.inputValue()).toBe('half edited');
      await page.goto(`${parley.url}/c/${talk}`);
      await page.getByRole('link', { name: /Engine room.*Draft: half edited/ }).click();
      await edit.press('Enter');
      await page.getByRole('log').getByText('half edited').waitFor();
      await expect.poll(() => box(page, 'Engine room').inputValue()).toBe('a draft beside it');
      await box(page, 'Engine room').fill('');
    });

    test('two tabs: what is sent in one is gone in the other, and stored once', async () => {
      await page.goto(`${parley.url}/c/${talk}`);
      await box(page, 'Ben Okri').fill('just once');
      const second = await page.context().newPage();
      // Written down in a moment.
      await expect.poll(() => page.evaluate(() => JSON.stringify(localStorage))).toContain('just once');
      await second.goto(`${parley.url}/c/${talk}`);
      await expect.poll(() => box(second, 'Ben Okri').inputValue()).toBe('just once');
      await box(page, 'Ben Okri').press('Enter');
      await expect.poll(() => box(second, 'Ben Okri').inputValue()).toBe('');
      await box(second, 'Ben Okri').press('Enter');
      await second.getByRole('log').getByText('just once').waitFor();
      expect((await texts(second)).filter((t) => t === 'just once')).toHaveLength(1);
      await second.close();
    });

    test('two tabs: of two drafts none is lost', async () => {
      const second = await page.context().newPage();
      await second.goto(`${parley.url}/c/${talk}`);
      await box(second, 'Ben Okri').waitFor();
      const values = async (): Promise<string[]> => [await box(page, 'Ben Okri').inputValue(), await box(second, 'Ben Okri').inputValue()];
      await box(page, 'Ben Okri').fill('the first draft');
      await box(second, 'Ben Okri').fill('another draft');
      await expect.poll(() => page.evaluate(() => JSON.stringify(localStorage))).toMatch(/(first|another) draft.*(first|another) draft/);
      expect(await values()).toEqual(['the first draft', 'another draft']);
      await page.reload();
      await second.reload();
      await expect.poll(values).toEqual(['the first draft', 'another draft']);
      await box(second, 'Ben Okri').press('Enter');
      await page.getByRole('log').getByText('another draft').waitFor();
      await expect.poll(values).toEqual(['the first draft', '']);
      await second.close();
      await box(page, 'Ben Okri').fill('');
    });

    test('messages keep their order over reloads with a clock that is set back', async () => {
      const late = await page.context().newPage();
      let connected = false;
      await late.routeWebSocket(/api\/v1\/socket/, (ws) => {
        if (connected) ws.connectToServer();
        else void ws.close({ code: 4002 });
      });
      await late.addInitScript(() => {
        const [now, lives] = [Date.now.bind(Date), Number(sessionStorage.getItem('lives') ?? 0)];
        Date.now = () => now() - lives * 3_600_000;
        sessionStorage.setItem('lives', String(lives + 1));
      });
      const bodies = ['number one', 'number two', 'number three'];
      for (const [i, body] of bodies.entries()) {
        await late.goto(`${parley.url}/c/${talk}`);
        await write(late, 'Ben Okri', body);
        await late.getByRole('log').getByText(body).waitFor();
        expect((await texts(late)).slice(-1 - i)).toEqual(bodies.slice(0, i + 1));
      }
      connected = true;
      await late.reload();
      await expect.poll(async () => (await texts(page)).slice(-3)).toEqual(bodies);
      await expect.poll(() => late.getByRole('img', { name: 'Sending' }).count()).toBe(0);
      await late.close();
    });

    test('signing out in the list of sessions asks before it loses messages', async () => {
      await page.goto(`${parley.url}/settings`);
      const row = page.getByRole('listitem').filter({ hasText: 'This browser' }).filter({ hasText: 'Now' });
      await row.getByRole('button', { name: 'Sign out' }).waitFor();
      // Nothing is sent from here on.
      await page.evaluate(async (conversation_id) => {
        const path = new URL(document.baseURI).pathname;
        const me = localStorage.getItem(`parley:${path}:signed-in`)!;
        const db = await new Promise<IDBDatabase>((resolve, reject) => {
          const open = indexedDB.open(`parley:${path}:outbox`);
          open.onsuccess = () => resolve(open.result);
          open.onerror = () => reject(open.error!);
        });
        await new Promise<void>((resolve) => {
          const tx = db.transaction('outbox', 'readwrite');
          tx.objectStore('outbox').put({ client_id: crypto.randomUUID(), user_id: me, conversation_id, body: 'not sent', created_at: new Date().toISOString(), position: 1, state: 'failed', code: 'internal' });
          tx.oncomplete = () => resolve();
        });
        db.close();
      }, talk);
      await row.getByRole('button', { name: 'Sign out' }).click();
      await page.getByText('1 unsent message will be lost.').waitFor();
      await row.getByRole('button', { name: 'Cancel' }).click();
      expect(await page.getByText('1 unsent message will be lost.').count()).toBe(0);
      await row.getByRole('button', { name: 'Sign out' }).click();
      await row.getByRole('button', { name: 'Sign out anyway' }).click();
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      await signIn(page, ada);
      await page.goto(`${parley.url}/c/${talk}`);
      await box(page, 'Ben Okri').waitFor();
      expect(await page.getByText('not sent').count()).toBe(0);
    });
  });
});
