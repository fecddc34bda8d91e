import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { box, complaintsOf, context, launch, phone, shoot, signedIn, signIn, texts } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, say, type Account } from './people';

// Signing in and out, settings, and getting around with the keyboard, under a path.
describe('an account', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let cleo: Account;
  let page: Page;
  let side: Page;
  const ids: Record<string, string> = {};

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start({ basePath: '/chat' }), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Ben Okri');
    cleo = await member(parley, ada, 'Cleo Patrick');
    side = await (await context(browser)).newPage();
    await side.goto(`${parley.url}/`);
    for (const who of [ben, cleo]) {
      ids[who.display_name] = await direct(parley, ada, who);
      await say(side, who, ids[who.display_name]!, [`Hello from ${who.display_name}`, 'How are you?']);
    }
    page = await (await context(browser)).newPage();
  });

  afterAll(async () => {
    expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  const path = (): string => new URL(page.url()).pathname;
  const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.tagName ?? '');

  test('signing in says what is wrong, next to it, and leads where one wanted to go', async () => {
    await page.goto(`${parley.url}/c/${ids['Ben Okri']}`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This is needed.').first().waitFor();
    await page.getByLabel('Username').fill('ada.lovelace');
    await page.getByLabel('Password', { exact: true }).fill('not the password');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The username or the password is wrong.').waitFor();
    await shoot(page, 'signin-light');
    await signIn(page, ada);
    await page.getByRole('heading', { name: 'Ben Okri' }).waitFor();
    await page.getByRole('log').getByText('Hello from Ben Okri').waitFor();
    expect(path()).toBe(`/chat/c/${ids['Ben Okri']}`);
  });

  test('the list has the latest first, with what is unread', async () => {
    const rows = page.getByRole('navigation').getByRole('link');
    await expect.poll(() => rows.locator('.name').allInnerTexts()).toEqual(['Cleo Patrick', 'Ben Okri']);
    await page.getByRole('link', { name: /Cleo Patrick.*2 unread messages/ }).waitFor();
    expect(await page.title()).toBe('(2) Ben Okri · Parley');
    await say(side, ben, ids['Ben Okri']!, ['Up I go']);
    await expect.poll(() => rows.first().innerText()).toContain('Up I go');
    await shoot(page, 'list-light');
    // Read here, read everywhere.
    const elsewhere = await signedIn(browser, parley, ada);
    await elsewhere.getByRole('link', { name: /Cleo Patrick.*2 unread messages/ }).click();
    await elsewhere.getByRole('log').getByText('How are you?').waitFor();
    await expect.poll(() => page.title()).toBe('Ben Okri · Parley');
    await elsewhere.context().close();
  });

  test('the list is searched as one types', async () => {
    const search = page.getByRole('combobox', { name: 'Search people and conversations' });
    await search.fill('cle');
    await page.getByRole('option', { name: /Cleo Patrick/ }).waitFor();
    expect(await page.getByRole('option').count()).toBe(1);
    await search.fill('nobody at all');
    await page.getByText('Nobody found for “nobody at all”.').waitFor();
    await search.press('Escape');
    expect(await search.inputValue()).toBe('');
    await page.getByRole('navigation').waitFor();
  });

  test('everything is in reach of the keyboard', async () => {
    await page.goto(`${parley.url}/c/${ids['Ben Okri']}`);
    await box(page, 'Ben Okri').waitFor();
    expect(await focused()).toBe('Message to Ben Okri');
    await page.keyboard.press('Alt+ArrowDown');
    await page.getByRole('heading', { name: 'Cleo Patrick' }).waitFor();
    await page.keyboard.press('Alt+ArrowUp');
    await page.getByRole('heading', { name: 'Ben Okri' }).waitFor();

    // From the box into the messages, through them, and back.
    await expect.poll(focused).toBe('Message to Ben Okri');
    await page.keyboard.press('ArrowUp');
    await expect.poll(focused).toMatch(/^Ben Okri, /);
    const [last] = [await page.evaluate(() => document.activeElement!.textContent)];
    expect(last).toContain('Up I go');
    await page.keyboard.press('ArrowUp');
    expect(await page.evaluate(() => document.activeElement!.textContent)).toContain('How are you?');
    await page.keyboard.press('Home');
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowDown');
    await expect.poll(focused).toBe('Message to Ben Okri');

    // A dialog: has the focus, closes with Esc, gives it back.
    await page.keyboard.press('Control+k');
    await expect.poll(focused).toBe('Find people and conversations');
    await page.keyboard.type('cleo');
    await page.getByRole('option', { name: /Cleo/ }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await expect.poll(focused).toBe('Message to Ben Okri');
    await page.keyboard.press('Control+k');
    await page.keyboard.type('cleo');
    await page.getByRole('option', { name: /Cleo/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Cleo Patrick' }).waitFor();
    await page.goBack();
    await page.getByRole('heading', { name: 'Ben Okri' }).waitFor();

    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await shoot(page, 'shortcuts-light');
    await page.goBack();
    await page.getByRole('dialog').waitFor({ state: 'detached' });

    // Enter sends, Shift-Enter breaks the line.
    await box(page, 'Ben Okri').focus();
    await page.keyboard.type('first line');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('second line');
    await page.keyboard.press('Enter');
    await page.getByRole('log').getByText('first line').waitFor();
    expect((await texts(page)).at(-1)).toBe('first line\nsecond line');
  });

  test('a draft stays with its conversation and is marked in the list', async () => {
    await box(page, 'Ben Okri').fill('half a thought');
    await page.getByRole('link', { name: /Cleo Patrick/ }).click();
    await page.getByRole('heading', { name: 'Cleo Patrick' }).waitFor();
    await page.getByRole('link', { name: /Ben Okri.*Draft: half a thought/ }).waitFor();
    await page.reload();
    await page.getByRole('link', { name: /Ben Okri.*Draft: half a thought/ }).click();
    await expect.poll(() => box(page, 'Ben Okri').inputValue()).toBe('half a thought');
    await box(page, 'Ben Okri').fill('');
  });

  test('too long a message is not sent but said', async () => {
    await box(page, 'Ben Okri').fill('é'.repeat(8193));
    await page.getByText('1 character too long.').waitFor();
    expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
    await box(page, 'Ben Okri').fill('   ');
    expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
    await box(page, 'Ben Okri').fill('');
  });

  test('a sign-up whose answer was lost is not taken for one that failed', async () => {
    const { code } = await api<{ code: string }>(parley, ada.token, 'POST', 'invites', { max_uses: 1 });
    const dora = await (await context(browser)).newPage();
    await dora.route('**/api/v1/users', async (route) => {
      await route.fetch();
      await route.abort();
    }, { times: 1 });
    await dora.goto(`${parley.url}/join#${code}`);
    await dora.getByLabel('Your name').fill('Dora Maar');
    await dora.getByLabel('Password', { exact: true }).fill('a weeping woman');
    await dora.getByRole('button', { name: 'Join' }).click();
    await dora.getByText('Parley cannot be reached.').waitFor();
    await dora.getByRole('button', { name: 'Join' }).click();
    await dora.getByText('perhaps your account was made').waitFor();
    await dora.getByRole('link', { name: 'I have an account already' }).click();
    await signIn(dora, { ...ben, username: 'dora.maar', password: 'a weeping woman' });
    await dora.getByRole('heading', { name: 'Welcome, Dora Maar' }).waitFor();
    await dora.context().close();
  });

  test('light, dark, or as the system has it', async () => {
    const ground = (): Promise<string> => page.evaluate(() => getComputedStyle(document.querySelector('main')!).backgroundColor);
    const light = await ground();
    await page.getByRole('button', { name: 'Your account and settings' }).click();
    await page.getByText('Dark', { exact: true }).click();
    const dark = await ground();
    expect(dark).not.toBe(light);
    await shoot(page, 'menu-dark');
    await page.reload();
    await box(page, 'Ben Okri').waitFor();
    expect(await ground()).toBe(dark);
    await page.getByRole('button', { name: 'Your account and settings' }).click();
    await page.getByText('System', { exact: true }).click();
    expect(await ground()).toBe(light);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await ground()).toBe(dark);
    await page.emulateMedia({ colorScheme: 'light' });
  });

  test('Escape closes the menu, and not the page that is under it', async () => {
    const menu = page.locator('#account-menu');
    for (const place of ['settings', `c/${ids['Ben Okri']}`]) {
      await page.goto(`${parley.url}/${place}`);
      await page.getByRole('button', { name: 'Your account and settings' }).click();
      await menu.waitFor();
      await page.keyboard.press('Escape');
      await menu.waitFor({ state: 'hidden' });
      expect(path()).toBe(`/chat/${place}`);
    }
    await page.goto(`${parley.url}/settings`);
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(path).toBe('/chat/');
    await page.getByRole('button', { name: 'Your account and settings' }).click();
  });

  test('settings: the name, the password, the sessions', async () => {
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    expect(path()).toBe('/chat/settings');
    await page.getByLabel('Your name').fill('Ada King');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved').waitFor();

    await page.getByLabel('Current password').fill('wrong wrong wrong');
    await page.getByLabel('New password').fill('a brand new password');
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.locator('form').filter({ hasText: 'Current password' }).getByText(/not your current password/).waitFor();
    await shoot(page, 'settings-light');
    await page.getByLabel('Current password').fill(ada.password);
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('Password changed.').waitFor();
    ada.password = 'a brand new password';
    await page.getByRole('main').getByText('This browser', { exact: true }).waitFor();

    // A program that is no browser, by what it calls itself.
    await api(parley, '', 'POST', 'sessions', { username: ada.username, password: ada.password });
    await page.reload();
    await page.getByText('If you do not know one of these, end it').waitFor();
    await page.getByRole('button', { name: 'End the session of node' }).click();
    await page.getByRole('button', { name: 'End the session of node' }).waitFor({ state: 'detached' });

    const elsewhere = await signedIn(browser, parley, ada);
    await elsewhere.getByRole('link', { name: /Ben Okri/ }).click();
    await box(elsewhere, 'Ben Okri').fill('not finished');
    await page.reload();
    await page.getByRole('button', { name: /^End the session of Chrome/ }).first().click();
    // Within a second or so, wherever it was, and nothing that was written stays there.
    await elsewhere.getByText('You were signed out.').waitFor();
    await signIn(elsewhere, ada);
    await box(elsewhere, 'Ben Okri').waitFor();
    expect(await box(elsewhere, 'Ben Okri').inputValue()).toBe('');
    await elsewhere.context().close();
  });

  test('signing out leaves nothing behind', async () => {
    await page.goto(`${parley.url}/c/${ids['Ben Okri']}`);
    await box(page, 'Ben Okri').fill('a secret draft');
    await page.getByRole('button', { name: 'Your account and settings' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    const kept = await page.evaluate(() => JSON.stringify(Object.entries(localStorage)));
    expect(kept).not.toContain('secret');
    await signIn(page, ben);
    await page.goto(`${parley.url}/`);
    await page.getByRole('link', { name: /Ada King/ }).waitFor();
    expect(await page.getByText('Cleo Patrick').count()).toBe(0);
  });

  test('on a phone there is one pane, nothing sticks out, and back is back', async () => {
    const small = await signedIn(browser, parley, cleo, { ...phone, colorScheme: 'dark' });
    await small.getByRole('link', { name: /Ada King/ }).click();
    await small.getByRole('log').getByText('How are you?').waitFor();
    // On a phone the return key breaks the line; the button sends.
    await box(small, 'Ada King').fill('From my phone');
    await box(small, 'Ada King').press('Enter');
    await box(small, 'Ada King').press('Backspace');
    await small.getByRole('button', { name: 'Send' }).tap();
    await small.getByRole('log').getByText('From my phone').waitFor();
    expect(await box(small, 'Ada King').inputValue()).toBe('');
    await shoot(small, 'phone-conversation-dark');
    for (const place of ['', 'settings']) {
      await small.goto(`${parley.url}/${place}`);
      await small.getByRole(place ? 'heading' : 'navigation', place ? { name: 'Settings' } : {}).waitFor();
      await shoot(small, `phone-${place || 'list'}-dark`);
      expect(await small.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    }
    await small.goto(`${parley.url}/`);
    await small.getByRole('link', { name: /Ada King/ }).click();
    await box(small, 'Ada King').waitFor();
    await small.goBack();
    await small.getByRole('navigation').waitFor();
    // What can be pressed is large enough for a finger.
    const low = await small.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>('button, a')].filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 36).map((e) => e.outerHTML.slice(0, 80)),
    );
    expect(low).toEqual([]);
    await small.context().close();
  });

  test('a list of hundreds is complete, after one answer or several', async () => {
    const crowd = 260;
    // The change of her password has ended what was signed in before.
    const { token } = await api<{ token: string }>(parley, '', 'POST', 'sessions', { username: ada.username, password: ada.password });
    const { code } = await api<{ code: string }>(parley, token, 'POST', 'invites', { max_uses: crowd });
    const join = async (n: number): Promise<void> => {
      const person = { username: `crowd.${n}`, display_name: `Crowd ${n}`, password: 'correct horse battery' };
      const { token } = await api<{ token: string }>(parley, '', 'POST', 'users', { invite: code, ...person });
      const c = await api<{ id: string }>(parley, token, 'POST', 'conversations', { kind: 'direct', user_id: cleo.id });
      // Long last messages, so that not all of them fit into one answer.
      await api(parley, token, 'POST', `conversations/${c.id}/messages`, { client_id: crypto.randomUUID(), body: `${n} ${'x'.repeat(1000)}` });
    };
    for (let n = 0; n < crowd; n += 4) await Promise.all([n, n + 1, n + 2, n + 3].map(join));
    const many = await signedIn(browser, parley, cleo);
    await expect.poll(() => many.title(), { timeout: 30_000 }).toMatch(new RegExp(`^\\(${crowd}\\) `));
    // Drawn are the latest; more as one goes on.
    const rows = many.getByRole('navigation').getByRole('link');
    expect(await rows.count()).toBe(50);
    await rows.last().scrollIntoViewIfNeeded();
    await expect.poll(() => rows.count()).toBeGreaterThan(50);
    expect(await rows.count()).toBeLessThanOrEqual(150);
    await many.getByRole('combobox').fill('crowd 0');
    await many.getByRole('option', { name: 'Crowd 0 @crowd.0' }).click();
    await many.getByRole('heading', { name: 'Crowd 0' }).waitFor();
    await many.context().close();
  });

  test('an address that leads nowhere says so', async () => {
    await page.goto(`${parley.url}/c/00000000-0000-7000-8000-000000000000`);
    await page.getByRole('heading', { name: 'There is no such conversation' }).waitFor();
    await page.getByRole('link', { name: 'To your conversations' }).click();
    expect(path()).toBe('/chat/');
    await page.goto(`${parley.url}/nowhere`);
    await page.getByRole('heading', { name: 'There is nothing here' }).waitFor();
    const { role } = await api<{ role: string }>(parley, ben.token, 'GET', 'me');
    expect(role).toBe('member');
  });
});
