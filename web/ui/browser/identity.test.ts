import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clean, complaintsOf, launch, phone, shoot, signedIn, texts, write } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

const zalgo = (text: string): string => [...text].map((c) => c + '\u0335\u0321\u0489\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u030a\u030b\u030c\u0310\u0313\u0316\u0317\u0318\u0319\u031c\u0323\u0324\u0325'.repeat(2)).join('');
const family = '👨‍👩‍👧‍👦';

let browser: Browser;
let parley: Parley;
let ada: Account, jose: Account, jose2: Account, zed: Account;
let chat: string, group: string;
let page: Page;

/** Of elements that hold a name or a text: whether what is higher than its line is cut off. */
const clips = (p: Page, selector: string): Promise<boolean[]> =>
  p.locator(selector).evaluateAll((all) => all.map((e) => getComputedStyle(e).overflowY !== 'visible'));

const send = (by: Account, id: string, body: string, o: object = {}): Promise<{ seq: number }> =>
  api(parley, by.token, 'POST', `conversations/${id}/messages`, { client_id: crypto.randomUUID(), body, ...o });

beforeAll(async () => {
  browser = await launch();
  parley = await Parley.start();
  ada = await admin(parley, 'Ada Lovelace');
  jose = await member(parley, ada, 'Jose Alvarez');
  jose2 = await member(parley, ada, 'Jose Alvarez 2');
  zed = await member(parley, ada, 'Zed');
  await api(parley, jose.token, 'PATCH', 'me', { display_name: 'José Álvarez' });
  await api(parley, jose2.token, 'PATCH', 'me', { display_name: 'José Álvarez' });
  await api(parley, zed.token, 'PATCH', 'me', { display_name: 'Z\u0335\u0321\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u030a\u030b\u030c\u0323\u0324\u0325\u0316\u0317\u0318\u0319\u031c\u0489\u0310\u0313\u0314 Zed' });
  chat = await direct(parley, ada, jose);
  const others = [await direct(parley, ada, jose2), await direct(parley, ada, zed)];
  for (const id of [chat, ...others]) await send(ada, id, 'Hello!'); // listed from the first message on
  group = (await api<{ id: string }>(parley, ada.token, 'POST', 'conversations', { kind: 'group', title: 'Climbers', member_ids: [jose.id, jose2.id, zed.id] })).id;
  page = await signedIn(browser, parley, ada);
});

afterAll(async () => {
  await browser?.close();
  await parley?.remove();
});

describe('texts that look the same', () => {
  test('two people of one name are told apart in the list, at their messages and as chosen members', async () => {
    await send(jose, group, 'I am the first.');
    const { seq } = await send(jose2, group, `And I the second. ${'x'.repeat(178)}${family}`);
    await send(jose, group, 'What did you say?', { reply_to: seq });
    await page.goto(`${parley.url}/c/${group}`);
    await page.getByText('What did you say?').last().waitFor();
    expect(await page.locator('[role=log] .author').allInnerTexts()).toEqual(expect.arrayContaining([expect.stringContaining('@jose.alvarez'), expect.stringContaining('@jose.alvarez.2')]));
    const rows = async (): Promise<string> => (await page.locator('a.row').allInnerTexts()).join('\n');
    await expect.poll(rows).toContain('@jose.alvarez\n');
    await expect.poll(rows).toContain('@jose.alvarez.2');
    expect(await page.locator('.quote .said').innerText()).not.toContain('👨');
    await shoot(page, 'identity-namesakes');
    await clean(page);
  });

  test('reactions in different forms are one chip, which can be taken back', async () => {
    const { seq } = await send(ada, chat, 'React!');
    await api(parley, jose.token, 'PUT', `conversations/${chat}/messages/${seq}/reactions/${encodeURIComponent('👍\ufe0f')}`);
    await page.goto(`${parley.url}/c/${chat}`);
    const message = page.getByRole('article').filter({ hasText: 'React!' });
    const chip = message.getByRole('button', { name: /👍/ }).and(page.locator('[aria-pressed]'));
    await chip.click();
    await expect.poll(() => chip.innerText()).toContain('2');
    expect(await chip.count()).toBe(1);
    await chip.click();
    await expect.poll(() => chip.innerText()).toContain('1');
  });

  test('nothing to see cannot be sent', async () => {
    const box = page.getByRole('textbox', { name: /Message to/ });
    await box.fill('\u3164\u2800\u200b');
    await box.press('Enter');
    expect(await box.inputValue()).not.toBe('');
    await box.fill('');
    await write(page, 'José Álvarez', 'seen');
    await expect.poll(async () => (await texts(page)).at(-1)).toBe('seen');
  });

  test('a person is found without accents', async () => {
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').getByRole('combobox').fill('alvarez');
    await expect.poll(() => page.getByRole('dialog').getByRole('option').count()).toBe(2);
    await shoot(page, 'identity-search');
    await page.keyboard.press('Escape');
  });

  test('stacked marks stay within their own row, in names, avatars and messages', async () => {
    await send(zed, group, zalgo('HE COMES'));
    await send(jose, group, 'A plain line after it');
    await page.goto(`${parley.url}/c/${group}?show=group`);
    await page.getByText('A plain line after it').last().waitFor();
    for (const selector of ['[role=log] .text', '[role=log] .author bdi:first-child', 'a.row .name bdi:first-child', 'a.row .said']) {
      const all = await clips(page, selector);
      expect(all.length).toBeGreaterThan(0);
      expect(all).not.toContain(false);
    }
    expect(await page.locator('.avatar').evaluateAll((all) => all.filter((e) => getComputedStyle(e, '::before').overflowY !== 'clip').length)).toBe(0);
    expect(await page.locator('.avatar').evaluateAll((all) => all.filter((e) => ((e as HTMLElement).dataset.initials ?? '').length > 12).length)).toBe(0);
    await shoot(page, 'identity-marks');
    await page.setViewportSize(phone.viewport!);
    await shoot(page, 'identity-marks-phone');
    expect(complaintsOf(page.context())).toEqual([]);
  });
});
