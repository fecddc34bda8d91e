import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Conversation } from '../src/lib/api/types';
import { box, clean, complaintsOf, launch, phone, shoot, signedIn, texts, write } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

// What people can refuse: requests, messages of a blocked person, conversations on their list.
// Ada has two devices; Ben writes too much; Cleo is in a group with both.
describe('people can say no', () => {
  let parley: Parley;
  let browser: Browser;
  let accounts: Record<'ada' | 'ben' | 'cleo', Account>;
  let ada: Page;
  let tablet: Page; // Ada's other device
  let ben: Page;
  let id = '';
  let club = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start({ env: { PARLEY_PRESENCE: 'accepted' } }), launch()]);
    const first = await admin(parley, 'Ada Lovelace');
    accounts = { ada: first, ben: await member(parley, first, 'Ben Okri'), cleo: await member(parley, first, 'Cleo Patrick') };
    club = (await api<Conversation>(parley, first.token, 'POST', 'conversations', { kind: 'group', title: 'Book club', member_ids: [accounts.ben.id, accounts.cleo.id] })).id;
    ada = await signedIn(browser, parley, accounts.ada);
    tablet = await signedIn(browser, parley, accounts.ada, { colorScheme: 'dark' });
    ben = await signedIn(browser, parley, accounts.ben);
  });

  afterAll(async () => {
    for (const page of [ada, tablet, ben]) expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  const say = (who: Account, conversation_id: string, body: string, o = {}) =>
    api<{ seq: number }>(parley, who.token, 'POST', `conversations/${conversation_id}/messages`, { client_id: crypto.randomUUID(), body, ...o });
  const mine = (who: Account, of: string): Promise<Conversation> => api(parley, who.token, 'GET', `conversations/${of}`);
  const inList = (page: Page, name: RegExp) => page.getByRole('navigation').getByRole('link', { name });
  const row = (page: Page, text: string) => page.getByRole('article').filter({ hasText: text });
  const request = (page: Page) => page.getByRole('region', { name: 'Message request' });
  const focused = async (locator: ReturnType<Page['locator']>): Promise<void> => {
    await expect.poll(() => locator.evaluate((e) => e === document.activeElement)).toBe(true);
  };
  /** Opens the menu of the conversation that is open and chooses. */
  const choose = async (page: Page, name: string, item: string): Promise<void> => {
    await page.locator('main header').getByRole('button', { name: `Actions for ${name}` }).click();
    await page.getByRole('menuitem', { name: item }).click();
  };
  const block = async (page: Page, name: string): Promise<void> => {
    await choose(page, name, `Block ${name}`);
    await page.getByRole('dialog').getByRole('button', { name: 'Block', exact: true }).click();
    await page.getByText(`You blocked ${name}.`).waitFor();
  };

  describe('a request', () => {
    test('is answered before the other side is told that it was read', async () => {
      id = await direct(parley, accounts.ben, accounts.ada);
      await say(accounts.ben, id, 'Hello, we met at the fair');
      await ben.goto(`${parley.url}/c/${id}`);
      await inList(ada, /Ben Okri.*1 unread message/).click();
      await request(ada).getByText('Ben Okri is not among your contacts yet. Accept, block or report?').waitFor();
      await row(ada, 'we met at the fair').waitFor();
      await shoot(ada, 'request-light');
      await clean(ada);
      await box(ada, 'Ben Okri').fill('Hm');
      await row(ben, 'we met at the fair').getByRole('img', { name: 'Delivered' }).waitFor();
      await inList(ada, /Ben Okri.*1 unread message/).waitFor();
      expect(await mine(accounts.ada, id)).toMatchObject({ accepted: false, unread: 1 });
      await box(ada, 'Ben Okri').fill('');

      await request(ada).getByRole('button', { name: 'Accept' }).click();
      await request(ada).waitFor({ state: 'detached' });
      await row(ben, 'we met at the fair').getByRole('img', { name: 'Read' }).waitFor();
      await expect.poll(async () => await mine(accounts.ada, id)).toMatchObject({ accepted: true, unread: 0 });
    });

    test('is accepted by writing, on all devices', async () => {
      const other = await direct(parley, accounts.cleo, accounts.ada);
      await say(accounts.cleo, other, 'Lunch?');
      await tablet.goto(`${parley.url}/c/${other}`);
      await request(tablet).waitFor();
      await shoot(tablet, 'request-dark');
      await clean(tablet);
      await ada.goto(`${parley.url}/c/${other}`);
      await request(ada).waitFor();
      await write(ada, 'Cleo Patrick', 'At one');
      await request(ada).waitFor({ state: 'detached' });
      await request(tablet).waitFor({ state: 'detached' });
    });

    test('can be reported and then blocked, once there is a message, and accepted after all', async () => {
      const eve = await member(parley, accounts.ada, 'Eve Moss');
      const asked = await direct(parley, eve, accounts.ada);
      const asker = await signedIn(browser, parley, eve);
      await asker.goto(`${parley.url}/c/${asked}`);
      const bait = await say(eve, asked, 'Win a prize');
      await ada.goto(`${parley.url}/c/${asked}`);
      const report = request(ada).getByRole('button', { name: 'Report' });
      await report.waitFor();
      await api(parley, eve.token, 'DELETE', `conversations/${asked}/messages/${bait.seq}`);
      await request(ada).getByText('Eve Moss is not among your contacts yet. Accept or block?').waitFor();
      expect(await report.count()).toBe(0);

      await say(eve, asked, 'You have won');
      const { seq } = await say(eve, asked, 'Claim it here');
      await row(ada, 'Claim it here').waitFor();
      await report.focus();
      await ada.keyboard.press('Enter');
      const dialog = ada.getByRole('dialog', { name: 'Report message' });
      await dialog.getByText('Claim it here').waitFor();
      expect(new URL(ada.url()).search).toBe(`?show=report&of=${seq}`);
      await dialog.getByRole('button', { name: 'Send report' }).click();
      await dialog.getByText('Report sent').waitFor();
      await shoot(ada, 'request-reported-light');
      await clean(ada);
      await dialog.getByRole('button', { name: 'Block Eve Moss' }).click();
      const block = ada.getByRole('dialog', { name: 'Block Eve Moss?' });
      await focused(block.getByRole('button', { name: 'Cancel' }));
      expect(await dialog.count()).toBe(0);
      await ada.keyboard.press('Escape');
      await focused(report);
      await request(ada).getByRole('button', { name: 'Block' }).click();
      await block.getByRole('button', { name: 'Block', exact: true }).click();
      await ada.getByText('You blocked Eve Moss.').waitFor();

      // Eve is blocked by now: nothing is left to offer.
      await ada.goto(`${parley.url}/c/${asked}?show=report&of=${seq}`);
      await dialog.getByText('Claim it here').waitFor();
      await dialog.getByRole('button', { name: 'Send report' }).click();
      await dialog.getByText('Report sent').waitFor();
      expect(await dialog.getByRole('button', { name: /^Block/ }).count()).toBe(0);
      await dialog.getByRole('button', { name: 'Done' }).click();

      // Her presence was refused to Eve until now.
      await ada.getByRole('button', { name: 'Unblock' }).click();
      await box(asker, 'Ada Lovelace').waitFor();
      expect(await asker.locator('main header').getByText('online').count()).toBe(0);
      await request(ada).getByRole('button', { name: 'Accept' }).click();
      await asker.locator('main header').getByText('online').waitFor();
      await expect.poll(async () => (await mine(accounts.ada, asked)).unread).toBe(0);
      expect(complaintsOf(asker.context())).toEqual([]);
      await asker.context().close();
    });

    test('fits a small phone, also from right to left', async () => {
      const dan = await member(parley, accounts.ada, 'Dan Brown');
      const asked = await direct(parley, dan, accounts.ada);
      await say(dan, asked, 'Buy my book');
      const small = await signedIn(browser, parley, accounts.ada, { ...phone, viewport: { width: 320, height: 640 } });
      await small.goto(`${parley.url}/c/${asked}`);
      await request(small).waitFor();
      await shoot(small, 'request-320');
      await small.evaluate(() => (document.documentElement.dir = 'rtl'));
      await shoot(small, 'request-320-rtl');
      expect(await small.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
      await clean(small);
      await request(small).getByRole('button', { name: 'Block' }).tap();
      const dialog = small.getByRole('dialog', { name: 'Block Dan Brown?' });
      await dialog.getByText('Dan Brown can no longer write to you or add you to groups.').waitFor();
      await shoot(small, 'block-dialog-320-rtl');
      await clean(small);
      await dialog.getByRole('button', { name: 'Block', exact: true }).tap();
      await small.getByText('You blocked Dan Brown.').waitFor();
      expect(complaintsOf(small.context())).toEqual([]);
      await small.context().close();
    });
  });

  describe('a block', () => {
    test('says first what it means, and needs no pointer', async () => {
      await ada.goto(`${parley.url}/c/${id}`);
      await box(ben, 'Ada Lovelace').fill('half a sentence');
      const actions = ada.locator('main header').getByRole('button', { name: 'Actions for Ben Okri' });
      await actions.focus();
      await ada.keyboard.press('Enter');
      await focused(ada.getByRole('menuitem', { name: 'Notifications' }));
      await shoot(ada, 'conversation-menu-light');
      await clean(ada);
      await ada.keyboard.press('ArrowUp');
      await focused(ada.getByRole('menuitem', { name: 'Block Ben Okri' }));
      await ada.keyboard.press('Enter');
      const dialog = ada.getByRole('dialog', { name: 'Block Ben Okri?' });
      await dialog.getByText('Ben Okri can no longer write to you or add you to groups. You will not see each other’s presence.').waitFor();
      await focused(dialog.getByRole('button', { name: 'Cancel' }));
      await shoot(ada, 'block-dialog-light');
      await clean(ada);
      await ada.keyboard.press('Escape');
      await dialog.waitFor({ state: 'detached' });
      await focused(actions);
      expect(await api(parley, accounts.ada.token, 'GET', 'blocks')).toMatchObject({ users: [{ username: 'dan.brown' }] });
    });

    test('keeps both from writing, says why, and keeps what was being written', async () => {
      await tablet.goto(`${parley.url}/c/${id}`);
      await box(tablet, 'Ben Okri').waitFor();
      await block(ada, 'Ben Okri');
      await tablet.getByText('You blocked Ben Okri.').waitFor();
      await ben.getByText('You cannot write to this person.').waitFor();
      for (const page of [ada, tablet, ben]) expect(await page.getByRole('textbox', { name: /^Message to/ }).count()).toBe(0);
      expect(await ben.getByRole('textbox', { name: 'Your draft is kept:' }).inputValue()).toBe('half a sentence');
      expect(await ben.getByRole('button', { name: 'Unblock' }).count()).toBe(0);
      await ada.locator('main header').getByText('online').waitFor({ state: 'detached' });
      for (const [page, name] of [[ada, 'blocked-light'], [tablet, 'blocked-dark'], [ben, 'blocked-other-light']] as const) {
        await shoot(page, name);
        await clean(page);
      }
    });

    test('ends on all devices, and the draft is in the box again', async () => {
      await tablet.getByRole('button', { name: 'Unblock' }).click();
      for (const page of [ada, tablet]) await box(page, 'Ben Okri').waitFor();
      await expect.poll(() => box(ben, 'Ada Lovelace').inputValue()).toBe('half a sentence');
      for (const page of [ada, ben]) await page.locator('main header').getByText('online').waitFor();
      await write(ben, 'Ada Lovelace', 'a whole sentence');
      await row(ada, 'a whole sentence').waitFor();
    });

    test('refuses the first message to a person once, shows it as not sent, and lets it be deleted', async () => {
      await api(parley, accounts.cleo.token, 'PUT', `users/${accounts.ben.id}/block`);
      let tries = 0;
      await ben.route('**/api/v1/conversations', (route) => {
        if (route.request().method() === 'POST') tries++;
        return route.continue();
      });
      await ben.goto(`${parley.url}/to/${accounts.cleo.id}`);
      await write(ben, 'Cleo Patrick', 'You there?');
      await ben.getByText('Not sent. You cannot write to this person.').waitFor();
      await inList(ben, /Cleo Patrick.*Not sent/).waitFor();
      await ben.reload();
      await ben.getByText('Not sent. You cannot write to this person.').waitFor();
      await shoot(ben, 'refused-light');
      expect(tries).toBe(1);
      await row(ben, 'You there?').getByRole('button', { name: 'Delete' }).click();
      await row(ben, 'You there?').waitFor({ state: 'detached' });
      await ben.unroute('**/api/v1/conversations');
      await api(parley, accounts.cleo.token, 'DELETE', `users/${accounts.ben.id}/block`);
    });

    test('keeps a message that waited for the connection, as not sent', async () => {
      await ben.goto(`${parley.url}/c/${id}`);
      await box(ben, 'Ada Lovelace').waitFor();
      await ben.context().setOffline(true);
      // Chromium cuts no socket that is open; a dead one is found by its silence.
      await ben.evaluate(() => dispatchEvent(new Event('online')));
      await ben.getByText('No connection.').waitFor();
      await write(ben, 'Ada Lovelace', 'said in the tunnel');
      await block(ada, 'Ben Okri');
      await ben.context().setOffline(false);
      await row(ben, 'said in the tunnel').getByText('Not sent. You cannot write to this person.').waitFor();
      await ben.getByRole('main').getByRole('status').filter({ hasText: 'You cannot write to this person.' }).waitFor();
      expect(await row(ben, 'said in the tunnel').getByRole('button').allInnerTexts()).toEqual(['Copy text', 'Delete']);
      await shoot(ben, 'blocked-unsent-light');
      await row(ben, 'said in the tunnel').getByRole('button', { name: 'Delete' }).click();
      await row(ben, 'said in the tunnel').waitFor({ state: 'detached' });
    });
  });

  test('a blocked person adds the other to no group, and is told whom to leave out', async () => {
    await ben.goto(`${parley.url}/?show=new`);
    await ben.getByRole('textbox', { name: 'Name of the group' }).fill('Fans');
    await ben.getByRole('combobox', { name: 'People', exact: true }).fill('lovelace');
    await ben.getByRole('option', { name: /Ada Lovelace/ }).click();
    await ben.getByRole('button', { name: 'Create group with 1 person' }).click();
    await ben.getByRole('alert').filter({ hasText: 'You cannot add Ada Lovelace.' }).waitFor();
    await shoot(ben, 'group-refused-light');
    await clean(ben);
    await ben.goto(`${parley.url}/`);
  });

  describe('in a group, messages of a blocked person', () => {
    let quoted = 0;

    test('are folded where they stand, in the list and where they are quoted', async () => {
      await ada.goto(`${parley.url}/`);
      await say(accounts.cleo, club, 'Which one do we read?');
      quoted = (await say(accounts.ben, club, 'Mine, of course')).seq;
      await inList(ada, /Book club.*Message from a blocked person.*2 unread messages/).waitFor();
      expect(await inList(ada, /Mine, of course/).count()).toBe(0);
      await say(accounts.ben, club, 'It is the best');
      await say(accounts.cleo, club, 'Not again', { reply_to: quoted });
      await say(accounts.ben, club, 'Why not?');
      await inList(ada, /Book club/).click();
      await ada.getByRole('article', { name: '2 messages from a blocked person' }).waitFor();
      await ada.getByRole('article', { name: 'Message from a blocked person', exact: true }).waitFor();
      expect(await texts(ada)).toEqual(['Which one do we read?', 'Not again']);
      await row(ada, 'Not again').getByRole('button', { name: /In answer to Ben Okri:.*Message from a blocked person/ }).waitFor();
      expect(await ada.locator('main').innerText()).not.toMatch(/Mine, of course|It is the best|Why not/);
      // Nothing is lost: what is folded counts as read with what is around it.
      await expect.poll(async () => (await mine(accounts.ada, club)).unread).toBe(0);
      await tablet.goto(`${parley.url}/c/${club}`);
      await tablet.getByRole('article', { name: '2 messages from a blocked person' }).waitFor();
      for (const [page, name] of [[ada, 'folded-light'], [tablet, 'folded-dark']] as const) {
        await shoot(page, name);
        await clean(page);
      }
    });

    test('are shown with the keyboard, line by line, and the focus goes to the first of them', async () => {
      const folded = ada.getByRole('article', { name: '2 messages from a blocked person' });
      await box(ada, 'Book club').focus();
      await ada.keyboard.press('Shift+ArrowUp');
      await focused(ada.getByRole('article', { name: 'Message from a blocked person', exact: true }));
      // One that comes meanwhile joins the line and does not take the focus.
      await say(accounts.ben, club, 'Hello?');
      const last = ada.getByRole('article', { name: '2 messages from a blocked person' }).last();
      await expect.poll(() => folded.count()).toBe(2);
      await focused(last);
      await ada.keyboard.press('ArrowUp');
      await focused(row(ada, 'Not again'));
      await ada.keyboard.press('ArrowUp');
      await focused(folded.first());
      await ada.keyboard.press('Enter');
      await focused(row(ada, 'Mine, of course').first());
      expect(await texts(ada)).toEqual(['Which one do we read?', 'Mine, of course', 'It is the best', 'Not again']);
      await ada.getByRole('button', { name: 'Show: 2 messages from a blocked person' }).click();
      await row(ada, 'Why not?').waitFor();
      await row(ada, 'Hello?').waitFor();
      await shoot(ada, 'folded-shown-light');
      // Who comes back finds them folded.
      await ada.goto(`${parley.url}/`);
      await ada.goto(`${parley.url}/c/${club}/${quoted}`);
      await ada.getByRole('article', { name: '2 messages from a blocked person' }).first().waitFor();
    });

    test('are as before once the block ends, in the panel of the group', async () => {
      await ada.goto(`${parley.url}/c/${club}?show=group`);
      const panel = ada.getByRole('region', { name: 'Group', exact: true });
      const actions = panel.getByRole('button', { name: 'What to do with Ben Okri' });
      await actions.click();
      await shoot(ada, 'group-member-blocked-light');
      await panel.getByRole('button', { name: 'Unblock Ben Okri' }).click();
      await row(ada, 'Mine, of course').first().waitFor();
      await row(tablet, 'Mine, of course').first().waitFor();
      await actions.click();
      await panel.getByRole('button', { name: 'Block Ben Okri' }).click();
      const dialog = ada.getByRole('dialog', { name: 'Block Ben Okri?' });
      await clean(ada);
      await dialog.getByRole('button', { name: 'Block', exact: true }).click();
      await dialog.waitFor({ state: 'detached' });
      await ada.getByRole('article', { name: '2 messages from a blocked person' }).first().waitFor();
      await focused(actions);
    });
  });

  test('the people who are blocked are listed in the settings, and can be unblocked there', async () => {
    const small = await signedIn(browser, parley, accounts.ada, phone);
    await small.goto(`${parley.url}/settings`);
    const list = small.locator('section', { has: small.getByRole('heading', { name: 'Privacy' }) });
    await list.getByRole('button', { name: 'Unblock Ben Okri' }).scrollIntoViewIfNeeded();
    await list.getByText('@dan.brown').waitFor();
    await shoot(small, 'settings-blocked-phone');
    await clean(small);
    await list.getByRole('button', { name: 'Unblock Ben Okri' }).click();
    await focused(list.getByRole('button', { name: 'Unblock Dan Brown' }));
    await row(tablet, 'Mine, of course').first().waitFor();
    // Another device is followed here.
    await api(parley, accounts.ada.token, 'DELETE', `users/${(await api<{ users: { id: string }[] }>(parley, accounts.ada.token, 'GET', 'users?query=dan')).users[0]!.id}/block`);
    await list.getByText('You haven’t blocked anyone.').waitFor();
    await small.goto(`${parley.url}/`);
    await small.getByRole('main').getByRole('navigation').getByRole('link', { name: /Ben Okri/ }).waitFor();
    expect(await small.getByRole('heading', { level: 1 }).allInnerTexts()).toEqual(['Conversations']);
    await shoot(small, 'list-phone');
    await clean(small);
    await small.getByRole('navigation').getByRole('link', { name: /Ben Okri/ }).tap();
    await box(small, 'Ben Okri').waitFor();
    expect(await small.getByRole('heading', { level: 1 }).allInnerTexts()).toEqual(['Ben Okri']);
    await clean(small);
    expect(complaintsOf(small.context())).toEqual([]);
    await small.context().close();
  });

  describe('an archived conversation', () => {
    const archived = (page: Page, n: string) => page.getByRole('navigation').getByRole('button', { name: `Archived ${n}` });

    test('leaves the list on all devices, and its count', async () => {
      for (const page of [ada, tablet]) {
        await page.goto(`${parley.url}/`); // neither reads what comes
        await inList(page, /Book club/).waitFor();
      }
      await say(accounts.cleo, club, 'One more thing');
      // Both are connected: a change of settings before that is not sent to them.
      for (const page of [ada, tablet]) await inList(page, /Book club.*One more thing/).waitFor();
      await expect.poll(() => ada.title()).toBe('(1) Parley');
      await api(parley, accounts.ada.token, 'PATCH', `conversations/${club}/settings`, { archived: true });
      await inList(ada, /Book club/).waitFor({ state: 'detached' });
      await expect.poll(() => ada.title()).toBe('Parley');

      await ada.goto(`${parley.url}/c/${id}`);
      await choose(ada, 'Ben Okri', 'Archive');
      await inList(ada, /Ben Okri/).waitFor({ state: 'detached' });
      await archived(ada, '2 conversations').waitFor();
      await archived(tablet, '2 conversations').waitFor();
      await shoot(ada, 'archived-list-light');
      await clean(ada);
    });

    test('is in a dialog of its own, and goes back from there', async () => {
      await archived(ada, '2 conversations').click();
      expect(new URL(ada.url()).search).toBe('?show=archived');
      const dialog = ada.getByRole('dialog', { name: 'Archived' });
      await dialog.getByRole('link', { name: /Book club.*One more thing/ }).waitFor();
      await shoot(ada, 'archived-light');
      await clean(ada);
      await dialog.getByRole('button', { name: 'Move Book club back to the list' }).click();
      await focused(dialog.getByRole('button', { name: 'Move Ben Okri back to the list' }));
      await dialog.getByRole('link', { name: /Ben Okri/ }).click();
      await ada.getByRole('heading', { name: 'Ben Okri' }).waitFor();
      await dialog.waitFor({ state: 'detached' });
      await inList(ada, /Book club/).waitFor();
      expect(await inList(ada, /Ben Okri/).count()).toBe(0);
    });

    test('is reached by its address and by its name', async () => {
      await ada.reload();
      await row(ada, 'a whole sentence').waitFor();
      await box(ada, 'Ben Okri').waitFor();
      await ada.goto(`${parley.url}/`);
      await archived(ada, '1 conversation').waitFor();
      await ada.keyboard.press('Control+k');
      await ada.getByRole('combobox', { name: 'Find people and conversations' }).fill('ben');
      await ada.getByRole('option', { name: /Ben Okri/ }).first().click();
      await ada.getByRole('heading', { name: 'Ben Okri' }).waitFor();
      expect(new URL(ada.url()).pathname).toBe(`/c/${id}`);
    });

    test('comes back by hand, and with its next message', async () => {
      await choose(ada, 'Ben Okri', 'Move back to the list');
      await inList(ada, /Ben Okri/).waitFor();
      await choose(ada, 'Ben Okri', 'Archive');
      await archived(ada, '1 conversation').waitFor();
      await say(accounts.ben, id, 'Are you there?');
      for (const page of [ada, tablet]) await inList(page, /Ben Okri.*Are you there.*1 unread message/).waitFor();
      await archived(ada, '1 conversation').waitFor({ state: 'detached' });
    });

    test('fits a phone, and a small one', async () => {
      await api(parley, accounts.ada.token, 'PATCH', `conversations/${id}/settings`, { archived: true });
      for (const [width, height] of [[390, 844], [320, 640]] as const) {
        const small = await signedIn(browser, parley, accounts.ada, { ...phone, viewport: { width, height } });
        await archived(small, '1 conversation').tap();
        await small.getByRole('dialog').getByRole('link', { name: /Ben Okri/ }).waitFor();
        await shoot(small, `archived-${width}`);
        await clean(small);
        await small.goto(`${parley.url}/c/${id}`);
        await small.getByRole('button', { name: 'Actions for Ben Okri' }).tap();
        await small.getByRole('menuitem', { name: 'Move back to the list' }).waitFor();
        await shoot(small, `conversation-menu-${width}`);
        expect(await small.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
        expect(complaintsOf(small.context())).toEqual([]);
        await small.context().close();
      }
    });
  });
});
