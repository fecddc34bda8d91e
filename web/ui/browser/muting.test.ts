import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Conversation } from '../src/lib/api/types';
import { clean, complaintsOf, launch, phone, shoot, signedIn } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

// What one is told of a conversation, by the sheet that a click on its bell opens.
describe('muting', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let cleo: Account;
  let page: Page;
  const ids: Record<string, string> = {};

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start({ basePath: '/chat' }), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Ben Okri');
    cleo = await member(parley, ada, 'Cleo Patrick');
    for (const who of [ben, cleo]) {
      const id = (ids[who.username] = await direct(parley, ada, who));
      // Until then it is in no list.
      await api(parley, ada.token, 'POST', `conversations/${id}/messages`, { client_id: crypto.randomUUID(), body: 'Hello' });
    }
    page = await signedIn(browser, parley, ada);
  });

  afterAll(async () => {
    expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  test('a conversation is muted for a while, everywhere, and counts for nothing', async () => {
    const inList = (p: Page, name: RegExp) => p.getByRole('navigation', { name: 'Conversations' }).getByRole('link', { name });
    const other = await signedIn(browser, parley, ada, { ...phone, colorScheme: 'dark' });
    await page.goto(`${parley.url}/c/${ids[ben.username]}`);
    await page.getByRole('button', { name: 'Notifications: all messages' }).click();
    const sheet = page.getByRole('dialog', { name: 'Notifications' });
    await sheet.getByRole('button', { name: 'For 1 hour' }).waitFor();
    await shoot(page, 'mute-light');
    await clean(page);
    const before = Date.now();
    await sheet.getByRole('button', { name: 'For 8 hours' }).click();
    await sheet.getByText(/^Muted until /).waitFor();
    const conversation = () => api<Conversation>(parley, ada.token, 'GET', `conversations/${ids[ben.username]}`);
    const hours = (Date.parse((await conversation()).muted_until!) - before) / 3_600_000;
    expect(hours).toBeGreaterThanOrEqual(8);
    expect(hours).toBeLessThan(8.1);
    await expect.poll(() => page.evaluate(() => document.activeElement?.textContent)).toBe('Turn on again');
    await shoot(page, 'muted-light');
    await page.keyboard.press('Escape');
    await sheet.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: /^Muted until / }).waitFor();

    // On the other device as well, and what comes is counted beside it alone.
    await inList(other, /Ben Okri.*Muted until/).waitFor();
    await page.goto(`${parley.url}/settings`);
    for (const who of [ben, cleo]) {
      await api(parley, who.token, 'POST', `conversations/${ids[who.username]}/messages`, { client_id: crypto.randomUUID(), body: 'Are you there?' });
    }
    await inList(page, /Ben Okri.*Muted until.*1 unread message/).waitFor();
    await expect.poll(() => page.title()).toBe('(1) Settings · Parley');
    await shoot(page, 'muted-list-light');
    await shoot(other, 'muted-list-phone-dark');
    await clean(page);

    // From the phone, for ever, and back.
    await inList(other, /Ben Okri/).tap();
    await other.getByRole('button', { name: /^Muted until/ }).tap();
    await other.getByRole('button', { name: 'Turn on again' }).tap();
    await expect.poll(() => other.evaluate(() => document.activeElement?.textContent)).toBe('For 1 hour');
    await shoot(other, 'mute-phone-dark');
    await clean(other);
    await other.getByRole('button', { name: 'Until I turn it on' }).tap();
    await other.getByRole('status').getByText('Muted', { exact: true }).waitFor();
    await other.getByRole('button', { name: 'Turn on again' }).tap();
    await expect.poll(async () => (await conversation()).muted_until).toBe(null);
    await other.goBack();
    await other.getByRole('dialog').waitFor({ state: 'detached' });
    await other.context().close();
  });

  test('an hour is the server’s, whatever the device’s clock says', async () => {
    const wrong = await signedIn(browser, parley, ada, { ...phone, locale: 'de-DE', timezoneId: 'UTC' });
    for (const hours of [-30, 26]) {
      await wrong.clock.setSystemTime(Date.now() + hours * 3_600_000);
      await wrong.goto(`${parley.url}/c/${ids[cleo.username]}?show=notify`);
      const before = Date.now();
      await wrong.getByRole('button', { name: 'For 1 hour' }).tap();
      const state = wrong.getByRole('dialog').getByRole('status');
      await state.getByText(/^Muted until (tomorrow at )?\d\d:\d\d$/).waitFor(); // nor that a German browser is told AM and PM
      const { muted_until } = await api<Conversation>(parley, ada.token, 'GET', `conversations/${ids[cleo.username]}`);
      const length = Date.parse(muted_until!) - before;
      expect(length).toBeGreaterThan(3_590_000);
      expect(length).toBeLessThan(3_660_000);
      await shoot(wrong, `mute-clock-${hours}`);
      await wrong.getByRole('button', { name: 'Turn on again' }).tap();
      await wrong.getByRole('button', { name: 'For 1 hour' }).waitFor();
    }
    await wrong.context().close();
  });

  test('in a group one can be told of mentions alone', async () => {
    const club = await api<Conversation>(parley, ada.token, 'POST', 'conversations', { kind: 'group', title: 'Book club', member_ids: [ben.id] });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.goto(`${parley.url}/c/${club.id}?show=notify`);
    const mentions = page.getByRole('group', { name: 'Notify me about' }).getByRole('radio', { name: 'Mentions of me' });
    await page.getByText('You get every message, with or without a notification.').waitFor();
    await mentions.check();
    await expect.poll(async () => (await api<Conversation>(parley, ada.token, 'GET', `conversations/${club.id}`)).notify).toBe('mentions');
    await shoot(page, 'mute-group-dark');
    await clean(page);
    // What cannot be saved is as it was.
    await page.route('**/settings', (route) => (route.request().method() === 'PATCH' ? route.abort() : route.continue()));
    await page.getByRole('radio', { name: 'Nothing' }).click();
    await page.getByText('Parley cannot be reached').waitFor();
    await expect.poll(() => mentions.isChecked()).toBe(true);
    await page.unroute('**/settings');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Notifications: mentions of you' }).waitFor();
    await page.emulateMedia({ colorScheme: 'light' });
  });
});
