import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Conversation } from '../src/lib/api/types';
import { box, clean, complaintsOf, context, launch, phone, shoot, signedIn, write } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, say, type Account } from './people';

// What happens to a message after it was sent, as the one who does it and another one see it.
describe('what happens to a message', () => {
  let parley: Parley;
  let browser: Browser;
  let adaIs: Account;
  let benIs: Account;
  let ada: Page;
  let ben: Page;
  let group = '';
  let long = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    adaIs = await admin(parley, 'Ada Lovelace');
    benIs = await member(parley, adaIs, 'Ben Okri');
    const cleo = await member(parley, adaIs, 'Cléo Dubois');
    const body = { kind: 'group', title: 'Engine room', member_ids: [benIs.id, cleo.id] };
    group = (await api<{ id: string }>(parley, adaIs.token, 'POST', 'conversations', body)).id;
    long = await direct(parley, adaIs, benIs);
    const side = await (await context(browser)).newPage();
    await side.goto(`${parley.url}/`);
    await say(side, cleo, group, ['The third card is worn.', 'I have put it aside; the spare set is in the drawer on the left, below the lamp.']);
    await say(side, benIs, long, Array.from({ length: 400 }, (_, i) => `Message ${i + 1}`));
    await side.context().close();
    ada = await signedIn(browser, parley, adaIs);
    ben = await signedIn(browser, parley, benIs, { colorScheme: 'dark' });
    for (const page of [ada, ben]) {
      await page.goto(`${parley.url}/c/${group}`);
      await row(page, 'The third card').waitFor();
    }
  });

  afterAll(async () => {
    expect(complaintsOf(ada.context())).toEqual([]);
    expect(complaintsOf(ben.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  const row = (page: Page, text: string): Locator => page.locator('[role=log] [role=article]').filter({ has: page.locator('.text, .deleted', { hasText: text }) }).last();
  const actions = (page: Page): Locator => page.getByRole('menu', { name: 'Actions for this message' });
  const inGroup = (page: Page): Locator => box(page, 'Engine room');
  /** The same is there for both, now and after a reload. */
  async function both(check: (page: Page) => Promise<void>): Promise<void> {
    await check(ada);
    await check(ben);
    await ben.reload();
    await check(ben);
  }

  test('in a group it is said who writes', async () => {
    await write(ada, 'Engine room', 'Thank you, Cléo! I will order more before Friday.');
    await row(ben, 'Thank you, Cléo').waitFor();
    expect(await row(ben, 'Thank you, Cléo').locator('.author').innerText()).toBe('Ada Lovelace');
    // Once for a run, and with every row for who listens.
    expect(await row(ben, 'The third card').locator('.author').innerText()).toBe('Cléo Dubois');
    expect(await row(ben, 'I have put it aside').locator('.author').count()).toBe(0);
    expect(await row(ben, 'I have put it aside').getAttribute('aria-label')).toMatch(/^Cléo Dubois, /);
    expect(await row(ada, 'Thank you, Cléo').locator('.author').count()).toBe(0);
  });

  test('reactions: one click, and the other side sees who', async () => {
    await row(ben, 'Thank you, Cléo').hover();
    await shoot(ben, 'actions-bar-dark');
    await ben.getByRole('toolbar').getByRole('button', { name: 'React with 👍' }).click();
    const chip = (page: Page, name: string): Locator => row(page, 'Thank you, Cléo').getByRole('button', { name, exact: true });
    await chip(ben, '👍 1: You').waitFor();
    await chip(ada, '👍 1: Ben Okri').click();
    await chip(ada, '👍 2: You and Ben Okri').waitFor();
    expect(await chip(ada, '👍 2: You and Ben Okri').getAttribute('aria-pressed')).toBe('true');
    await both((page) => chip(page, page === ada ? '👍 2: You and Ben Okri' : '👍 2: You and Ada Lovelace').waitFor());
    await chip(ada, '👍 2: You and Ben Okri').click();
    await chip(ben, '👍 1: You').waitFor();
    expect(await chip(ada, '👍 1: Ben Okri').getAttribute('aria-pressed')).toBe('false');
  });

  test('in a narrow window the bar leaves the message before to be read', async () => {
    const narrow = await (await context(browser, { storageState: await ada.context().storageState(), viewport: { width: 740, height: 700 } })).newPage();
    await narrow.goto(`${parley.url}/c/${group}`);
    for (const [text, before] of [['I have put it aside', 'The third card'], ['Thank you, Cléo', 'I have put it aside']] as const) {
      await row(narrow, text).hover();
      const bar = (await narrow.getByRole('toolbar').boundingBox())!;
      const above = (await row(narrow, before).locator('.bubble').boundingBox())!;
      await shoot(narrow, `actions-narrow-${text.slice(0, 1)}`);
      const hidden = Math.max(0, Math.min(bar.x + bar.width, above.x + above.width) - Math.max(bar.x, above.x));
      expect(hidden).toBeLessThan(above.width / 3);
      // What it leaves out is behind the smiling face.
      expect(await narrow.getByRole('toolbar').getByRole('button', { name: 'React with another emoji' }).isVisible()).toBe(true);
    }
    await narrow.context().close();
  });

  test('any emoji is found by its name', async () => {
    await row(ada, 'The third card').hover();
    await ada.getByRole('toolbar').getByRole('button', { name: 'React with another emoji' }).click();
    await ada.getByRole('dialog', { name: 'Pick an emoji' }).getByRole('button', { name: 'grinning face', exact: true }).waitFor();
    await shoot(ada, 'emoji-light');
    await clean(ada);
    await ada.keyboard.type('party popper');
    await ada.getByRole('button', { name: 'party popper' }).waitFor();
    await ada.keyboard.press('ArrowDown');
    await ada.keyboard.press('Enter');
    await both((page) => row(page, 'The third card').getByRole('button', { name: /^🎉/ }).waitFor());
    // Where one wrote, one writes on.
    expect(await inGroup(ada).evaluate((e) => e === document.activeElement)).toBe(true);
  });

  test('an answer shows what it answers and leads there', async () => {
    await row(ben, 'The third card').hover();
    await ben.getByRole('toolbar').getByRole('button', { name: 'Reply' }).click();
    await ben.getByRole('button', { name: 'Do not reply to it' }).waitFor();
    await shoot(ben, 'answering-dark');
    // It is kept with the draft.
    await ben.keyboard.type('How many are left');
    await ben.waitForTimeout(400);
    await ben.reload();
    await ben.getByRole('button', { name: 'Do not reply to it' }).waitFor();
    expect(await inGroup(ben).inputValue()).toBe('How many are left');
    await inGroup(ben).press('End');
    await ben.keyboard.type('?');
    await ben.keyboard.press('Enter');
    await both(async (page) => {
      await row(page, 'How many are left?').getByRole('button', { name: /Cléo Dubois.*The third card is worn/ }).waitFor();
    });
    expect(await ben.getByRole('button', { name: 'Do not reply to it' }).count()).toBe(0);
    await row(ada, 'How many are left?').getByRole('button', { name: /The third card/ }).click();
    await expect.poll(() => row(ada, 'The third card').getAttribute('class')).toContain('lit');
  });

  test('Up edits what one wrote last, and both see it with the time', async () => {
    await write(ada, 'Engine room', 'Twleve');
    await row(ada, 'Twleve').getByRole('img', { name: /Sent|Delivered/ }).waitFor();
    await inGroup(ada).press('ArrowUp');
    const edit = ada.getByRole('textbox', { name: 'Edit your message' });
    await edit.waitFor();
    expect(await edit.inputValue()).toBe('Twleve');
    await shoot(ada, 'editing-light');
    await ada.keyboard.press('Escape');
    await inGroup(ada).waitFor();
    expect(await inGroup(ada).inputValue()).toBe('');
    await inGroup(ada).press('ArrowUp');
    await edit.fill('Twelve, in the drawer.');
    await edit.press('Enter');
    await inGroup(ada).waitFor();
    await both(async (page) => {
      await row(page, 'Twelve, in the drawer.').getByText('edited').waitFor();
      expect(await row(page, 'Twelve, in the drawer.').getByText('edited').getAttribute('title')).toMatch(/^Edited .*\d/);
      expect(await row(page, 'Twleve').count()).toBe(0);
    });
  });

  test('an edit that cannot be saved is not lost', async () => {
    await inGroup(ada).press('ArrowUp');
    const edit = ada.getByRole('textbox', { name: 'Edit your message' });
    await edit.fill('Twelve, in the drawer on the left.');
    await parley.down();
    await edit.press('Enter');
    await ada.getByText(/Not saved\./).waitFor();
    expect(await edit.inputValue()).toBe('Twelve, in the drawer on the left.');
    await shoot(ada, 'edit-failed-light');
    await parley.up();
    await expect.poll(async () => {
      if (await edit.count()) await edit.press('Enter');
      return row(ada, 'Twelve, in the drawer on the left.').getByText('edited').count();
    }).toBe(1);
    await row(ben, 'on the left.').getByText('edited').waitFor();
  });

  test('members are named by the keyboard', async () => {
    await inGroup(ada).pressSequentially('Please count again, @b');
    const offers = ada.getByRole('listbox', { name: 'People to mention' });
    await offers.getByRole('option', { name: /Ben Okri/ }).waitFor();
    expect(await offers.getByRole('option').count()).toBe(1);
    await ada.keyboard.press('Escape');
    await offers.waitFor({ state: 'detached' });
    for (const key of ['Backspace', 'Backspace', '@']) await ada.keyboard.press(key);
    await offers.getByRole('option').nth(1).waitFor();
    expect(await offers.getByRole('option').allInnerTexts()).toEqual([expect.stringMatching(/Ben/), expect.stringMatching(/Cléo/)]);
    await ada.keyboard.press('ArrowDown');
    await shoot(ada, 'mention-light');
    await clean(ada);
    await ada.keyboard.press('ArrowUp');
    await ada.keyboard.press('Tab');
    expect(await inGroup(ada).inputValue()).toBe('Please count again, @ben.okri ');
    await ada.keyboard.type('and tell us.');
    await ada.keyboard.press('Enter');
    await both(async (page) => {
      await row(page, 'Please count again').locator('.mention', { hasText: '@Ben Okri' }).waitFor();
      expect(await row(page, 'Please count again').locator('.names-me').count()).toBe(page === ben ? 1 : 0);
    });
    await shoot(ben, 'group-dark');
    await shoot(ada, 'group-light');
  });

  test('the keyboard reaches every action', async () => {
    await inGroup(ada).press('Shift+ArrowUp');
    await ada.keyboard.press('ArrowUp');
    const focused = (): Promise<string> => ada.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? '');
    expect(await focused()).toMatch(/^You, .*edited$/);
    await ada.keyboard.press('Enter');
    await actions(ada).waitFor();
    await shoot(ada, 'menu-light');
    await clean(ada);
    await ada.keyboard.press('Escape');
    await actions(ada).waitFor({ state: 'detached' });
    expect(await focused()).toMatch(/^You, .*edited$/);
    await ada.keyboard.press('Enter');
    await ada.keyboard.press('End');
    await ada.keyboard.press('ArrowUp');
    expect(await ada.evaluate(() => document.activeElement?.textContent?.trim())).toBe('Message info');
    await ada.keyboard.press('Escape');
    await ada.keyboard.press('Escape');
    expect(await inGroup(ada).evaluate((e) => e === document.activeElement)).toBe(true);
  });

  test('deleting is asked for, and leaves a quiet line with nothing of the text', async () => {
    await row(ada, 'Thank you, Cléo').hover();
    await ada.getByRole('toolbar').getByRole('button', { name: 'More actions' }).click();
    await ada.getByRole('menuitem', { name: 'Delete' }).click();
    await ada.getByText('Delete this message for everybody?').waitFor();
    await shoot(ada, 'delete-light');
    await ada.getByRole('button', { name: 'Keep' }).click();
    expect(await row(ada, 'Thank you, Cléo').count()).toBe(1);
    await row(ada, 'Thank you, Cléo').hover();
    await ada.getByRole('toolbar').getByRole('button', { name: 'More actions' }).click();
    await ada.getByRole('menuitem', { name: 'Delete' }).click();
    await ada.getByRole('button', { name: 'Delete', exact: true }).click();
    await both(async (page) => {
      await row(page, 'This message was deleted').waitFor();
      expect(await page.getByRole('log').getByText('Thank you, Cléo').count()).toBe(0);
      expect(await row(page, 'This message was deleted').locator('.reactions').count()).toBe(0);
    });
    // Whoever answered it sees that it is gone; an admin may delete what others wrote.
    await row(ada, 'The third card').hover();
    await ada.getByRole('toolbar').getByRole('button', { name: 'More actions' }).click();
    await ada.getByRole('menuitem', { name: 'Delete' }).click();
    await ada.getByText('Delete this message of Cléo Dubois for everybody?').waitFor();
    await ada.getByRole('button', { name: 'Delete', exact: true }).click();
    await row(ben, 'How many are left?').locator('.quoted', { hasText: 'This message was deleted' }).waitFor();
    // Ben may not.
    await row(ben, 'Twelve').hover();
    await ben.getByRole('toolbar').getByRole('button', { name: 'More actions' }).click();
    await ben.getByRole('menuitem', { name: 'Copy link' }).waitFor();
    expect(await ben.getByRole('menuitem', { name: 'Delete' }).count()).toBe(0);
    await shoot(ben, 'menu-dark');
    await ben.keyboard.press('Escape');
    await clean(ben);
  });

  test('a link leads to an old message, and back to the newest', async () => {
    await ada.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await ada.goto(`${parley.url}/c/${long}/51`);
    await row(ada, 'Message 50').waitFor();
    const found = ada.locator('.row.lit');
    await found.waitFor();
    expect(await found.getAttribute('data-seq')).toBe('51');
    await shoot(ada, 'linked-light');
    const [at, view] = [(await found.boundingBox())!, (await ada.getByRole('log').boundingBox())!];
    expect(at.y).toBeGreaterThan(view.y);
    expect(at.y).toBeLessThan(view.y + view.height);

    await row(ada, 'Message 50').hover();
    await ada.getByRole('toolbar').getByRole('button', { name: 'More actions' }).click();
    await ada.getByRole('menuitem', { name: 'Copy link' }).click();
    await ada.getByRole('menuitem', { name: 'Copied' }).waitFor();
    const link = await ada.evaluate(() => navigator.clipboard.readText());
    expect(link).toBe(`${parley.url}/c/${long}/51`);

    // Answering it leads to the end; the answer leads back, and what happens there is seen.
    await ada.getByRole('menu').waitFor({ state: 'detached' });
    await row(ada, 'Message 50').hover();
    await ada.getByRole('toolbar').getByRole('button', { name: 'Reply' }).click();
    await write(ada, 'Ben Okri', `Found it: ${link}`);
    await row(ada, 'Found it').waitFor();
    expect(new URL(ada.url()).pathname).toBe(`/c/${long}`);
    await ben.goto(`${parley.url}/c/${long}`);
    await row(ben, 'Found it').getByRole('button', { name: /Message 50/ }).click();
    await expect.poll(() => ben.locator('.row.lit').getAttribute('data-seq')).toBe('51');
    await row(ada, 'Found it').getByRole('link').click();
    await expect.poll(() => ada.locator('.row.lit').getAttribute('data-seq')).toBe('51');
    expect(ada.context().pages()).toHaveLength(1);
    await row(ada, 'Message 50').hover();
    await ada.getByRole('toolbar').getByRole('button', { name: 'React with ❤️' }).click();
    await row(ben, 'Message 50').getByRole('button', { name: '❤️ 1: Ada Lovelace' }).waitFor();

    await ada.goto(`${parley.url}/c/${long}/99999`);
    await ada.getByText('The message that the link leads to is not there').waitFor();
  });

  test('whom one names is not lost while the members of a large group are on their way, or cannot be had', async () => {
    const people = [];
    for (const name of ['Dora Maar', 'Eva Hesse', 'Frida Kahlo', 'Gego', 'Hilma af Klint']) people.push(await member(parley, adaIs, name));
    const big = await api<Conversation>(parley, adaIs.token, 'POST', 'conversations', { kind: 'group', title: 'Studio', member_ids: people.map((p) => p.id) });
    const far = people.find((p) => !big.members.some((m) => m.user_id === p.id))!; // the list of conversations does not name them
    const chip = row(ada, 'come and see').locator('.mention');
    let arrive = (): void => {};
    const late = new Promise<void>((resolve) => (arrive = resolve));
    await ada.route('**/members*', async (route) => {
      await late;
      await route.continue();
    });
    await ada.goto(`${parley.url}/c/${big.id}`);
    await write(ada, 'Studio', `@${far.username} come and see`);
    await row(ada, 'come and see').getByRole('img', { name: 'Sending' }).waitFor();
    arrive();
    await chip.waitFor();

    await ada.unroute('**/members*');
    await ada.route('**/members*', (route) => route.abort());
    await ada.reload();
    await chip.waitFor();
    await box(ada, 'Studio').press('ArrowUp');
    const edit = ada.getByRole('textbox', { name: 'Edit your message' });
    await edit.fill(`@${far.username} come and see, quickly`);
    await edit.press('Enter');
    await row(ada, 'quickly').getByText('edited').waitFor();
    await ada.unroute('**/members*');
    await ada.reload();
    await row(ada, 'quickly').locator('.mention').waitFor();
  });

  test('on a phone a long press opens the actions', async () => {
    const small = await (await context(browser, { ...phone, storageState: await ben.context().storageState() })).newPage();
    await small.goto(`${parley.url}/c/${group}`);
    await row(small, 'Twelve').waitFor();
    await shoot(small, 'phone-group-light');
    const at = (await row(small, 'Twelve').locator('.bubble').boundingBox())!;
    const devtools = await small.context().newCDPSession(small);
    const touch = { x: at.x + 20, y: at.y + at.height - 10 };
    await devtools.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [touch] });
    await actions(small).waitFor();
    await devtools.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    await small.waitForTimeout(300);
    // The finger that opened them chooses nothing by leaving the glass.
    expect(await actions(small).count()).toBe(1);
    expect(await actions(small).getByText('Copied').count()).toBe(0);
    await shoot(small, 'phone-menu-light');
    await actions(small).getByRole('menuitem', { name: 'React with another emoji' }).tap();
    await small.getByRole('button', { name: 'grinning face', exact: true }).waitFor();
    await shoot(small, 'phone-emoji-light');
    await small.getByRole('button', { name: 'grinning face', exact: true }).tap();
    await row(small, 'Twelve').getByRole('button', { name: /^😀/ }).waitFor();
    expect(await small.evaluate(() => document.documentElement.scrollWidth > innerWidth)).toBe(false);
    await clean(small);
    await small.context().close();
  });
});
