import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { complaintsOf, context, launch, phone, shoot, texts, write } from './browser';
import { Parley } from './parley';

// From the link in the terminal to two people talking, as the two of them see it.
describe('two people', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Page;
  let ben: Page;
  let inviteLink = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    ada = await (await context(browser)).newPage();
    ben = await (await context(browser, { colorScheme: 'dark' })).newPage();
  });

  afterAll(async () => {
    expect(complaintsOf(ada.context())).toEqual([]);
    expect(complaintsOf(ben.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  test('the set-up link leads to one form and to the admin’s account', async () => {
    expect(parley.setupLink).toContain('/setup#');
    await ada.goto(parley.setupLink);
    await ada.getByRole('heading', { name: 'Welcome to your Parley' }).waitFor();
    await shoot(ada, 'setup-light');

    await ada.getByRole('button', { name: 'Create account' }).click();
    expect(await ada.locator('[aria-invalid]').count()).toBe(3);
    expect(await ada.getByLabel('Your name').evaluate((e) => e === document.activeElement)).toBe(true);

    await ada.getByLabel('Your name').fill('Ada Lovelace');
    expect(await ada.getByLabel('Username').inputValue()).toBe('ada.lovelace');
    await ada.getByLabel('Password', { exact: true }).fill('short');
    await ada.getByText('At least 8 characters, please.').waitFor();
    await ada.getByLabel('Password', { exact: true }).fill('an analytical engine');
    await ada.getByRole('button', { name: 'Create account' }).click();

    await ada.getByRole('heading', { name: 'Welcome, Ada Lovelace' }).waitFor();
    expect(new URL(ada.url()).hash).toBe('');
    await shoot(ada, 'empty-light');
  });

  test('the link works once', async () => {
    const late = await (await context(browser)).newPage();
    await late.goto(parley.setupLink);
    await late.getByLabel('Your name').fill('Eve');
    await late.getByLabel('Username').fill('eve');
    await late.getByLabel('Password', { exact: true }).fill('too late for this');
    await late.getByRole('button', { name: 'Create account' }).click();
    await late.getByRole('alert').waitFor();
    await late.context().close();
  });

  test('the admin makes an invitation', async () => {
    await ada.getByRole('button', { name: 'Invite people' }).click();
    await ada.getByRole('button', { name: 'Make a link' }).click();
    inviteLink = await ada.getByLabel('Invitation link').inputValue();
    expect(inviteLink).toMatch(/\/join#.+/);
    await shoot(ada, 'invite-light');
    expect(new URL(ada.url()).search).toBe('?show=invite');
    await ada.keyboard.press('Escape');
    await ada.getByRole('dialog').waitFor({ state: 'detached' });
    expect(new URL(ada.url()).search).toBe('');
  });

  test('the second person joins by it', async () => {
    await ben.goto(inviteLink);
    await ben.getByRole('heading', { name: 'You are invited' }).waitFor();
    await shoot(ben, 'join-dark');
    await ben.getByLabel('Your name').fill('Ben Okri');
    await ben.getByLabel('Password', { exact: true }).fill('a famished road');
    await ben.getByRole('button', { name: 'Join' }).click();
    await ben.getByRole('heading', { name: 'Welcome, Ben Okri' }).waitFor();
    expect(await ben.getByRole('button', { name: 'Invite people' }).count()).toBe(0);
  });

  test('they find each other and write both ways', async () => {
    await ada.keyboard.press('Control+k');
    await ada.getByRole('combobox', { name: 'Find people and conversations' }).fill('ben');
    await ada.getByRole('option', { name: /Ben Okri/ }).waitFor();
    await shoot(ada, 'find-light');
    await ada.keyboard.press('Enter');
    await ada.getByRole('heading', { name: 'Ben Okri' }).waitFor();
    expect(new URL(ada.url()).pathname).toMatch(/^\/to\/[0-9a-f-]{36}$/);
    await write(ada, 'Ben Okri', 'Good morning, Ben!');
    await expect.poll(() => new URL(ada.url()).pathname).toMatch(/^\/c\/[0-9a-f-]{36}$/);

    await ben.getByRole('link', { name: /Ada Lovelace/ }).click();
    await ben.getByText('Good morning, Ben!').last().waitFor();
    await write(ben, 'Ada Lovelace', 'Good morning! Did the **engine** run?');
    await write(ben, 'Ada Lovelace', 'See https://example.org/engine and <b>this</b>\n- cogs\n- cards');

    await ada.getByRole('log').getByText('cards').waitFor();
    expect(await texts(ada)).toEqual(await texts(ben));
    expect(await ada.getByRole('log').locator('strong').innerText()).toBe('engine');
    const link = ada.getByRole('log').getByRole('link');
    expect(await link.getAttribute('rel')).toContain('noopener nofollow');
    expect(await ada.getByRole('log').locator('b').count()).toBe(0);
    // Stored, and shown so.
    await ada.getByRole('log').getByRole('img', { name: 'Read', exact: true }).first().waitFor();
    expect(await ada.getByRole('log').getByRole('img', { name: 'Sending' }).count()).toBe(0);
  });

  test('it looks right on a desk and on a phone', async () => {
    for (const text of [
      'It did. Twelve hours without a jam, which is a record for us.',
      'I wrote down the sequence, so that we can repeat it:',
      '```\nload N1..N3\nmultiply N1 N2 -> N4\nprint N4\n```',
      'The third card was worn. I replaced it with one from the spare set; remind me to order more before the demonstration on Friday.',
    ]) {
      await write(ada, 'Ben Okri', text);
    }
    await write(ben, 'Ada Lovelace', '🎉');
    await write(ben, 'Ada Lovelace', 'שלום, מה שלומך היום?');
    await write(ben, 'Ada Lovelace', '> order more before the demonstration\nDone, they come on Thursday.');
    await ada.getByText('Done, they come on Thursday.').last().waitFor();
    await shoot(ada, 'conversation-light');
    await shoot(ben, 'conversation-dark');

    const state = await ada.context().storageState();
    const small = await (await context(browser, { ...phone, storageState: state })).newPage();
    await small.goto(ada.url());
    await small.getByRole('log').getByText('Done, they come').waitFor();
    await shoot(small, 'phone-conversation-light');
    expect(await small.getByRole('navigation').count()).toBe(0);
    await small.getByRole('button', { name: 'Back to conversations' }).click();
    await small.getByRole('navigation').waitFor();
    expect(new URL(small.url()).pathname).toBe('/');
    await shoot(small, 'phone-list-light');
    const sideways = await small.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(sideways).toBe(false);
    await small.context().close();
  });
});
