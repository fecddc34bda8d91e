import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Conversation, Privacy } from '../src/lib/api/types';
import { box, clean, complaintsOf, launch, look, phone, shoot, signedIn, write } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

// What two people learn of each other: what has arrived, what was read, who is here, who is
// typing. Ada has two devices; Cleo comes late.
describe('receipts and presence', () => {
  let parley: Parley;
  let browser: Browser;
  let accounts: Record<'ada' | 'ben' | 'cleo', Account>;
  let ada: Page;
  let tablet: Page; // Ada's other device
  let ben: Page;
  let id = '';
  let club = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    const first = await admin(parley, 'Ada Lovelace');
    accounts = { ada: first, ben: await member(parley, first, 'Ben Okri'), cleo: await member(parley, first, 'Cleo Patrick') };
    id = await direct(parley, accounts.ada, accounts.ben);
    ada = await signedIn(browser, parley, accounts.ada);
    await ada.goto(`${parley.url}/c/${id}`);
  });

  afterAll(async () => {
    for (const page of [ada, tablet, ben]) expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  const row = (page: Page, text: string) => page.getByRole('article').filter({ hasText: text });
  const ticked = (page: Page, text: string, state: string) => row(page, text).getByRole('img', { name: state, exact: true }).waitFor();
  const inList = (page: Page, name: RegExp) => page.getByRole('navigation').getByRole('link', { name });
  const header = (page: Page) => page.locator('main header');
  const mine = (who: Account): Promise<Conversation> => api(parley, who.token, 'GET', `conversations/${id}`);
  const readAll = async (who: Account): Promise<void> => {
    await expect.poll(async () => (await mine(who)).unread).toBe(0);
  };

  test('a message is sent, delivered, read, and the row stays as it is', async () => {
    await write(ada, 'Ben Okri', 'Are you there?');
    await ticked(ada, 'Are you there?', 'Sent');
    await inList(ada, /Ben Okri.*Sent.*You ?:.*Are you there/).waitFor();
    const size = await row(ada, 'Are you there?').boundingBox();

    ben = await signedIn(browser, parley, accounts.ben, { colorScheme: 'dark' });
    await inList(ben, /Ada Lovelace.*1 unread message/).waitFor();
    await ticked(ada, 'Are you there?', 'Delivered');
    await inList(ada, /Ben Okri.*Delivered/).waitFor();
    expect(await row(ada, 'Are you there?').boundingBox()).toEqual(size);
    await shoot(ada, 'receipts-delivered-light');

    await inList(ben, /Ada Lovelace/).click();
    await ticked(ada, 'Are you there?', 'Read');
    await inList(ada, /Ben Okri.*Read/).waitFor();
    expect(await row(ada, 'Are you there?').boundingBox()).toEqual(size);
    await ada.reload();
    await ticked(ada, 'Are you there?', 'Read');
  });

  test('who types is shown to the other, until the message comes or they stop', async () => {
    await box(ben, 'Ada Lovelace').pressSequentially('Ye');
    await header(ada).getByText('typing…', { exact: true }).waitFor();
    await inList(ada, /Ben Okri.*typing…/).waitFor();
    await ada.getByRole('status').filter({ hasText: 'Ben is typing…' }).waitFor({ state: 'attached' });
    await shoot(ada, 'typing-light');
    await clean(ada);
    // Nothing more is typed.
    await header(ada).getByText('online').waitFor();
    expect(await header(ada).getByText('typing…').count()).toBe(0);

    await box(ben, 'Ada Lovelace').pressSequentially('s, I am');
    await header(ada).getByText('typing…', { exact: true }).waitFor();
    // Said once to who listens: it is the same minute.
    expect(await ada.getByRole('status').filter({ hasText: 'typing' }).count()).toBe(0);
    await box(ben, 'Ada Lovelace').press('Enter');
    await row(ada, 'Yes, I am').waitFor();
    expect(await header(ada).getByText('typing…').count()).toBe(0);
    await ticked(ben, 'Yes, I am', 'Read');
  });

  test('an edit, and a box that is emptied, are not typing', async () => {
    const heard: string[] = [];
    ben.on('websocket', (ws) => ws.on('framesent', ({ payload }) => String(payload).includes('typing.start') && heard.push(String(payload))));
    await ben.reload();
    await ticked(ben, 'Yes, I am', 'Read');
    await box(ben, 'Ada Lovelace').press('ArrowUp');
    await ben.getByRole('textbox', { name: 'Edit your message' }).pressSequentially(' indeed');
    await ben.keyboard.press('Escape');
    await box(ben, 'Ada Lovelace').fill('   ');
    await box(ben, 'Ada Lovelace').fill('');
    expect(heard).toEqual([]);
    await box(ben, 'Ada Lovelace').pressSequentially('abcdefgh', { delay: 20 });
    await expect.poll(() => heard.length).toBe(1);
    await box(ben, 'Ada Lovelace').fill('');
  });

  test('what is read on one device is read on the others at once', async () => {
    await ada.getByRole('link', { name: 'Parley' }).click();
    tablet = await signedIn(browser, parley, accounts.ada, phone);
    await write(ben, 'Ada Lovelace', 'One');
    await write(ben, 'Ada Lovelace', 'Two');
    for (const page of [ada, tablet]) await inList(page, /Ben Okri.*2 unread messages/).waitFor();
    await ticked(ben, 'Two', 'Delivered');
    await inList(tablet, /Ben Okri/).tap();
    await expect.poll(() => ada.title()).toBe('Parley');
    expect(await inList(ada, /unread/).count()).toBe(0);
    await ticked(ben, 'Two', 'Read');
    await shoot(tablet, 'receipts-phone-light');
    await clean(tablet);
    await tablet.getByRole('button', { name: 'Back to conversations' }).tap();
    await inList(tablet, /Ben Okri/).waitFor();
    await shoot(tablet, 'receipts-phone-list-light');
    await inList(ada, /Ben Okri/).click();
  });

  test('a page in the background, or behind another window, has what comes and reads nothing', async () => {
    let n = 0;
    for (const o of [{ visible: false, focused: false }, { visible: true, focused: false }]) {
      const text = `While you are away ${++n}`;
      await look(ada, o);
      await write(ben, 'Ada Lovelace', text);
      await row(ada, text).waitFor();
      await expect.poll(() => ada.title()).toBe('(1) Ben Okri · Parley');
      await ticked(ben, text, 'Delivered');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect((await mine(accounts.ada)).unread).toBe(1);
      await look(ada, { visible: true, focused: true });
      await ticked(ben, text, 'Read');
      await expect.poll(() => ada.title()).toBe('Ben Okri · Parley');
      const divider = ada.getByText('New messages', { exact: true });
      expect(await divider.locator('xpath=following::*[contains(@class,"text")][1]').innerText()).toContain(text);
    }
  });

  test('who goes was last seen just now, and is there again when they come back', async () => {
    const dot = header(ada).locator('.avatar.online');
    await dot.waitFor();
    await header(ada).getByText('online').waitFor();
    const at = ben.url();
    await ben.goto('about:blank');
    await header(ada).getByText(/last seen just now/).waitFor();
    expect(await dot.count()).toBe(0);
    await shoot(ada, 'presence-gone-light');
    await ben.goto(at);
    await header(ada).getByText('online').waitFor();
    await dot.waitFor();
  });

  test('who hides when they were here is online or not, and that is all', async () => {
    await ben.goto(`${parley.url}/settings`);
    await ben.getByRole('switch', { name: 'Last seen' }).uncheck();
    await ben.getByText('Nobody sees when you were last here.').waitFor();
    await ben.goto('about:blank');
    await expect.poll(() => header(ada).locator('p').innerText()).toBe('@ben.okri');
    await ben.goto(`${parley.url}/settings`);
    await header(ada).getByText('online').waitFor();
  });

  test('a switch that could not be saved is as it was, and says why', async () => {
    await ben.route('**/api/v1/me', (route) => (route.request().method() === 'PATCH' ? route.abort() : route.continue()));
    const receipts = ben.getByRole('switch', { name: 'Read receipts' });
    await receipts.click();
    await ben.getByText('Parley cannot be reached').waitFor();
    expect(await receipts.isChecked()).toBe(true);
    await ben.unroute('**/api/v1/me');
  });

  test('without read receipts neither side learns what the other has read', async () => {
    await ben.getByRole('switch', { name: 'Read receipts' }).uncheck();
    await ben.getByText('Others do not see what you have read').waitFor();
    await shoot(ben, 'settings-privacy-dark');
    await clean(ben);
    await ben.goto(`${parley.url}/c/${id}`);
    await write(ada, 'Ben Okri', 'Did you get this?');
    await row(ben, 'Did you get this?').waitFor();
    await readAll(accounts.ben);
    await ticked(ada, 'Did you get this?', 'Delivered');
    await write(ben, 'Ada Lovelace', 'Perhaps');
    await row(ada, 'Perhaps').waitFor();
    await readAll(accounts.ada);
    await ticked(ben, 'Perhaps', 'Delivered');
    expect(await ben.getByRole('img', { name: 'Read', exact: true }).count()).toBe(0);

    const menu = async (page: Page, text: string): Promise<void> => {
      await row(page, text).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('menuitem', { name: 'Message info' }).click();
      await page.getByRole('dialog', { name: 'Message info' }).getByText('Delivered', { exact: true }).waitFor();
    };
    await menu(ben, 'Perhaps');
    await ben.getByText('You have turned off read receipts').waitFor();
    await shoot(ben, 'info-off-dark');
    await clean(ben);
    await ben.keyboard.press('Escape');
    await menu(ada, 'Did you get this?');
    await ada.getByText('With read receipts turned off on the other side').waitFor();
    await ada.keyboard.press('Escape');
    await expect.poll(() => row(ada, 'Did you get this?').evaluate((e) => e === document.activeElement)).toBe(true);

    // And again, with the ones from before.
    await ben.goto(`${parley.url}/settings`);
    await ben.getByRole('switch', { name: 'Read receipts' }).check();
    await expect.poll(async () => (await api<Privacy>(parley, accounts.ben.token, 'GET', 'me')).read_receipts).toBe(true);
    await ben.goto(`${parley.url}/c/${id}`);
    await ticked(ben, 'Perhaps', 'Read');
    await write(ada, 'Ben Okri', 'So you did');
    await ticked(ada, 'So you did', 'Read');
    await shoot(ada, 'receipts-read-light');
    await shoot(ben, 'receipts-read-dark');
  });

  test('in a group: delivered when everybody has it, and the details when asked for', async () => {
    club = (await api<Conversation>(parley, accounts.ada.token, 'POST', 'conversations', { kind: 'group', title: 'Book club', member_ids: [accounts.ben.id, accounts.cleo.id] })).id;
    await ada.goto(`${parley.url}/c/${club}`);
    await ben.goto(`${parley.url}/c/${club}`);
    await write(ada, 'Book club', 'Who comes on Friday?');
    await row(ben, 'Who comes on Friday?').waitFor();
    await expect.poll(async () => (await api<Conversation>(parley, accounts.ben.token, 'GET', `conversations/${club}`)).unread).toBe(0);
    await ticked(ada, 'Who comes on Friday?', 'Sent');

    await row(ada, 'Who comes on Friday?').hover();
    await row(ada, 'Who comes on Friday?').getByRole('button', { name: 'More actions' }).click();
    await ada.getByRole('menuitem', { name: 'Message info' }).click();
    const sheet = ada.getByRole('dialog', { name: 'Message info' });
    const parts = (): Promise<string[]> => sheet.locator('section').evaluateAll((all) => all.map((e) => (e as HTMLElement).innerText.replace(/\s+/g, ' ').trim()));
    await expect.poll(parts).toEqual([expect.stringMatching(/^Read by 1 Ben Okri today at /), 'Not delivered yet 1 Cleo Patrick']);
    expect(new URL(ada.url()).search).toMatch(/^\?show=seen&of=\d+$/);

    // It follows what happens.
    const cleo = await signedIn(browser, parley, accounts.cleo);
    await expect.poll(parts).toEqual([expect.stringMatching(/^Read by 1 Ben Okri/), expect.stringMatching(/^Delivered to 1 Cleo Patrick today at /)]);
    await sheet.getByText('Whoever has turned off read receipts').waitFor();
    await shoot(ada, 'info-group-light');
    await clean(ada);
    await ticked(ada, 'Who comes on Friday?', 'Delivered');
    await cleo.goto(`${parley.url}/c/${club}`);
    await expect.poll(parts).toEqual([expect.stringMatching(/^Read by 2 Cleo Patrick today at .* Ben Okri/)]);
    await ada.reload(); // it has an address
    await expect.poll(parts).toHaveLength(1);
    await ada.goBack();
    await sheet.waitFor({ state: 'detached' });
    expect(new URL(ada.url()).search).toBe('');

    // Two of them type.
    await box(ben, 'Book club').pressSequentially('I do');
    await header(ada).getByRole('link').getByText('Ben is typing…').waitFor();
    await box(cleo, 'Book club').pressSequentially('Me too');
    await box(ben, 'Book club').pressSequentially(', I do');
    await header(ada).getByText('Ben and Cleo are typing…').waitFor();
    await shoot(ada, 'typing-group-light');
    await box(ben, 'Book club').press('Enter');
    await header(ada).getByText('Cleo is typing…').waitFor();

    // Who is here, in the list of members.
    await ada.locator('header a.group').click();
    const people = ada.getByRole('region', { name: 'Group', exact: true }).getByRole('listitem');
    await expect.poll(() => people.allInnerTexts()).toEqual([
      expect.stringMatching(/Ada Lovelace\s*You\s*@ada.lovelace\s*Owner/),
      expect.stringMatching(/Ben Okri\s*online · @ben.okri/),
      expect.stringMatching(/Cleo Patrick\s*online · @cleo.patrick/),
    ]);
    await cleo.context().close();
    await expect.poll(() => people.allInnerTexts(), { timeout: 25_000 }).toContainEqual(expect.stringMatching(/Cleo Patrick\s*last seen just now · @cleo.patrick/));
    expect(await people.locator('.avatar.online').count()).toBe(1);
    await shoot(ada, 'presence-members-light');
    await clean(ada);
    await ada.keyboard.press('Escape');
  });

  test('from a phone: the sheet, in the dark', async () => {
    await tablet.emulateMedia({ colorScheme: 'dark' });
    await tablet.goto(`${parley.url}/c/${club}`);
    const message = row(tablet, 'Who comes on Friday?');
    await message.waitFor();
    await message.dispatchEvent('contextmenu', { pointerType: 'touch' });
    await message.locator('.bubble').dispatchEvent('pointerdown', { pointerType: 'touch', clientX: 300, clientY: 300, bubbles: true });
    await tablet.getByRole('menuitem', { name: 'Message info' }).waitFor();
    await shoot(tablet, 'info-menu-phone-dark');
    await tablet.getByRole('menuitem', { name: 'Message info' }).tap();
    await tablet.getByRole('dialog', { name: 'Message info' }).getByText('Read by').waitFor();
    await shoot(tablet, 'info-phone-dark');
    await clean(tablet);
    await tablet.goBack();
    await tablet.getByRole('dialog').waitFor({ state: 'detached' });

    // Hundreds of people: the sheet keeps within the window, and scrolls.
    const members = Array.from({ length: 300 }, (_, i) => ({ user_id: crypto.randomUUID(), delivered: i % 3 > 0, read: i % 3 > 1, read_at: new Date().toISOString() }));
    await tablet.route('**/receipts', (route) => route.fulfill({ json: { members } }));
    await tablet.goForward();
    const sheet = tablet.getByRole('dialog', { name: 'Message info' });
    await expect.poll(() => sheet.locator('h3').allInnerTexts()).toEqual(['Read by 100', 'Delivered to 100', 'Not delivered yet 100']);
    const { y, height } = (await sheet.boundingBox())!;
    expect(y + height).toBeLessThan(phone.viewport!.height);
    expect(await sheet.getByRole('group').evaluate((e) => e.scrollHeight > 3 * e.clientHeight)).toBe(true);
    expect((await sheet.locator('.said').boundingBox())!.height).toBeGreaterThan(30);
    await shoot(tablet, 'info-many-phone-dark');
    await clean(tablet);
    await tablet.goBack();
  });

  test('a connection that comes back watches again', async () => {
    await ada.goto(`${parley.url}/c/${id}`);
    const dot = header(ada).locator('.avatar.online');
    await dot.waitFor();
    await ben.goto('about:blank');
    await dot.waitFor({ state: 'detached' });
    await parley.down();
    await parley.up();
    await write(ada, 'Ben Okri', 'I am back');
    await ticked(ada, 'I am back', 'Sent');
    await ben.goto(`${parley.url}/c/${id}`);
    await dot.waitFor();
    await ticked(ada, 'I am back', 'Read');
    await box(ben, 'Ada Lovelace').pressSequentially('Hi');
    await header(ada).getByText('typing…', { exact: true }).waitFor();
  });
});
