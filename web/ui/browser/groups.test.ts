import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Conversation } from '../src/lib/api/types';
import { box, clean, complaintsOf, context, launch, phone, shoot, signedIn, texts, write } from './browser';
import { Parley } from './parley';
import { admin, api, member, type Account } from './people';

// A group from its making to its end, as three people see it.
describe('a group', () => {
  let parley: Parley;
  let browser: Browser;
  let accounts: Record<'ada' | 'ben' | 'cleo' | 'dan', Account>;
  let ada: Page;
  let ben: Page;
  let cleo: Page;
  let path = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    const first = await admin(parley, 'Ada Lovelace');
    const [second, third, fourth] = [await member(parley, first, 'Ben Okri'), await member(parley, first, 'Cleo Patrick'), await member(parley, first, 'Dan Brown')];
    accounts = { ada: first, ben: second, cleo: third, dan: fourth };
    ada = await signedIn(browser, parley, accounts.ada);
    ben = await signedIn(browser, parley, accounts.ben, { colorScheme: 'dark' });
    cleo = await signedIn(browser, parley, accounts.cleo);
  });

  afterAll(async () => {
    for (const page of [ada, ben, cleo]) expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  /** What is said before anybody goes. */
  const early = ['Which one do we read next?', 'The famished road, what else.', 'Your turn', 'Your turn'];
  const id = (): string => path.slice('/c/'.length);
  const open = (page: Page) => page.goto(`${parley.url}${path}`);
  const panel = (page: Page) => page.getByRole('region', { name: 'Group', exact: true });
  const events = (page: Page): Promise<string[]> => page.locator('[role=log] .event').evaluateAll((all) => all.map((e) => (e as HTMLElement).innerText.trim()));
  const said = async (page: Page, sentence: string): Promise<void> => {
    await expect.poll(async () => await events(page)).toContain(sentence);
  };
  const actions = (page: Page, name: string) => panel(page).getByRole('button', { name: `What to do with ${name}` });
  const openPanel = async (page: Page): Promise<void> => {
    await page.locator('header a.group').click();
    await panel(page).getByRole('listitem').first().waitFor();
  };

  test('is made with nothing but the keyboard', async () => {
    await ada.keyboard.press('Control+k');
    await ada.getByRole('dialog').getByRole('button', { name: 'New group' }).focus();
    await ada.keyboard.press('Enter');
    const title = ada.getByRole('textbox', { name: 'Name of the group' });
    await expect.poll(() => title.evaluate((e) => e === document.activeElement)).toBe(true);
    expect(new URL(ada.url()).search).toBe('?show=new');

    await ada.keyboard.press('Enter');
    await ada.getByText('This is needed.').waitFor();
    await ada.keyboard.type('Book club');
    await ada.keyboard.press('Tab');
    const option = (name: RegExp) => ada.getByRole('option', { name });
    await ada.keyboard.type('ben');
    await expect.poll(() => ada.getByRole('option').count()).toBe(1);
    await option(/Ben Okri/).waitFor();
    const chosen = (name: string) => ada.getByRole('list', { name: 'Chosen people' }).getByText(name).waitFor(); // Enter waits for the server's answer
    await ada.keyboard.press('Enter');
    await chosen('Ben Okri');
    await ada.keyboard.type('brown');
    await expect.poll(() => ada.getByRole('option').count()).toBe(1);
    await option(/Dan Brown/).waitFor();
    await ada.keyboard.press('Enter');
    await chosen('Dan Brown');
    await ada.keyboard.press('Backspace'); // Dan comes later
    await option(/Cleo Patrick/).waitFor();
    await ada.keyboard.press('ArrowDown');
    await ada.keyboard.press('Enter');
    await expect.poll(() => ada.getByRole('list', { name: 'Chosen people' }).getByRole('button').allInnerTexts()).toEqual(['Ben Okri', 'Cleo Patrick']);
    await option(/Dan Brown/).waitFor();
    await shoot(ada, 'group-new-light');
    await clean(ada);
    await ada.keyboard.press('Control+Enter');

    await ada.getByRole('heading', { name: 'Book club' }).waitFor();
    path = new URL(ada.url()).pathname;
    expect(path).toMatch(/^\/c\/[0-9a-f-]{36}$/);
    await said(ada, 'You created the group');
  });

  test('is there for everybody at once, and who wrote is said in the list', async () => {
    await ben.getByRole('navigation').getByRole('link', { name: /Book club/ }).click();
    await said(ben, 'Ada Lovelace created the group');
    await cleo.getByRole('navigation').getByRole('link', { name: /Book club.*No messages yet/ }).waitFor();
    await write(ben, 'Book club', 'Which one do we read next?');
    await cleo.getByRole('navigation').getByRole('link', { name: /Book club.*Ben ?:.*Which one do we read next\?.*1 unread message/ }).waitFor();
    await ben.getByRole('navigation').getByRole('link', { name: /You ?:.*Which one/ }).waitFor();
    await cleo.getByRole('navigation').getByRole('link', { name: /Book club/ }).click();
    await write(cleo, 'Book club', 'The famished road, what else.');
    await expect.poll(() => texts(ada)).toEqual(['Which one do we read next?', 'The famished road, what else.']);
  });

  test('who is mentioned sees that in the list, until it is read', async () => {
    await cleo.getByRole('link', { name: 'Parley' }).click();
    const say = (mentions: string[]) =>
      api(parley, accounts.ada.token, 'POST', `conversations/${id()}/messages`, { client_id: crypto.randomUUID(), body: 'Your turn', mentions });
    await say([]);
    await say([accounts.cleo.id]);
    const row = cleo.getByRole('navigation').getByRole('link', { name: /Book club.*1 mention of you.*2 unread messages/ });
    await row.waitFor();
    await shoot(cleo, 'group-mentioned-light');
    await clean(cleo);
    expect(await ben.getByRole('navigation').getByRole('link', { name: /mention/ }).count()).toBe(0);
    await row.click();
    await expect.poll(() => cleo.getByRole('navigation').getByRole('link', { name: /mention|unread/ }).count()).toBe(0);
    await cleo.reload(); // the server knows as well
    await cleo.getByRole('navigation').getByRole('link', { name: /Book club/ }).waitFor();
    expect(await cleo.getByRole('navigation').getByRole('link', { name: /mention|unread/ }).count()).toBe(0);
  });

  test('is found by its name, also by the beginnings of it', async () => {
    await ben.keyboard.press('Control+k');
    await ben.getByRole('combobox', { name: 'Find people and conversations' }).fill('bocl');
    await ben.getByRole('option', { name: /Book club.*3 members/ }).waitFor();
    await ben.keyboard.press('Enter');
    await ben.getByRole('heading', { name: 'Book club' }).waitFor();
  });

  test('its panel has an address, takes and gives back the focus, and back closes it', async () => {
    await openPanel(ada);
    expect(new URL(ada.url()).search).toBe('?show=group');
    expect(await panel(ada).getByRole('listitem').allInnerTexts()).toEqual([
      expect.stringMatching(/Ada Lovelace\s*You\s*@ada.lovelace\s*Owner/),
      expect.stringMatching(/Ben Okri[^]*@ben.okri/),
      expect.stringMatching(/Cleo Patrick[^]*@cleo.patrick/),
    ]);
    await shoot(ada, 'group-panel-light');
    await clean(ada);
    await ada.reload();
    await panel(ada).getByRole('listitem').first().waitFor();
    await panel(ada).getByRole('button', { name: 'Close' }).click();
    await panel(ada).waitFor({ state: 'detached' });
    await ada.locator('header a.group').focus();
    await ada.keyboard.press('Enter');
    await panel(ada).getByRole('listitem').first().waitFor();
    expect(await panel(ada).evaluate((e) => e.contains(document.activeElement))).toBe(true);
    await ada.keyboard.press('Escape');
    await panel(ada).waitFor({ state: 'detached' });
    expect(await ada.locator('header a.group').evaluate((e) => e === document.activeElement)).toBe(true);
    await openPanel(ada);
    await ada.goBack();
    await panel(ada).waitFor({ state: 'detached' });
    expect(new URL(ada.url()).pathname).toBe(path);
    await openPanel(ada);
  });

  test('a new name is everywhere at once', async () => {
    await panel(ada).getByRole('button', { name: 'Rename the group' }).click();
    const title = panel(ada).getByRole('textbox', { name: 'Name of the group' });
    await title.fill('  ');
    await panel(ada).getByText('This is needed.').waitFor();
    await title.fill('Film club');
    await title.press('Enter');
    for (const page of [ada, ben, cleo]) {
      await page.locator('main').getByRole('heading', { name: 'Film club' }).waitFor();
      await page.getByRole('navigation').getByRole('link', { name: /Film club/ }).waitFor();
    }
    await said(ada, 'You renamed the group to Film club');
    await said(cleo, 'Ada Lovelace renamed the group to Film club');
    expect(await ada.title()).toContain('Film club');
  });

  test('people are added; those in it are shown so', async () => {
    await panel(ada).getByRole('button', { name: 'Add people' }).click();
    expect(new URL(ada.url()).search).toBe('?show=add');
    const dialog = ada.getByRole('dialog', { name: 'Add people' });
    await dialog.getByRole('option', { name: /Ben Okri.*In the group/ }).waitFor();
    await shoot(ada, 'group-add-light');
    await clean(ada);
    await dialog.getByRole('option', { name: /Dan Brown/ }).click();
    await dialog.getByRole('button', { name: 'Add 1 person' }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(new URL(ada.url()).search).toBe('?show=group');
    await panel(ada).getByText('@dan.brown').waitFor();
    await said(ben, 'Ada Lovelace added Dan Brown');
    await ben.getByText('4 members').waitFor();
    // By default one who comes later sees nothing earlier.
    const { messages } = await api<{ messages: { seq: number; kind: string }[] }>(parley, accounts.dan.token, 'GET', `conversations/${id()}/messages`);
    expect(messages.map((m) => m.kind)).toEqual(['member_added']);
  });

  test('roles are given, and what they allow is there at once', async () => {
    await openPanel(ben);
    await panel(ben).getByText('Only owners and admins can rename the group').waitFor();
    expect(await panel(ben).getByRole('button', { name: 'Add people' }).count()).toBe(0);
    expect(await panel(ben).getByRole('switch').isDisabled()).toBe(true);
    await actions(ben, 'Cleo Patrick').click();
    expect(await ben.getByRole('button', { name: /^Make|Remove/ }).count()).toBe(0);
    await ben.keyboard.press('Escape');

    await actions(ada, 'Ben Okri').click();
    await shoot(ada, 'group-actions-light');
    await clean(ada);
    await ada.getByRole('button', { name: 'Make an admin' }).click();
    await said(ben, 'Ada Lovelace made you an admin');
    await said(cleo, 'Ada Lovelace made Ben Okri an admin');
    await panel(ben).getByRole('button', { name: 'Rename the group' }).waitFor();
    await shoot(ben, 'group-panel-dark');
    await clean(ben);
    await actions(ben, 'Ada Lovelace').click();
    await ben.getByText('Only owners can change roles. Only owners can remove owners and admins.').waitFor();
    await ben.keyboard.press('Escape');
    expect(await panel(ben).count()).toBe(1); // Esc closed the menu alone

    await actions(ada, 'Ada Lovelace').click();
    await ada.getByText('You are the only owner. Make somebody else owner first.').waitFor();
    await ada.keyboard.press('Escape');
  });

  test('what is said earlier is shared from when the owner wants it', async () => {
    const share = panel(ada).getByRole('switch', { name: 'Share earlier messages' });
    await share.check();
    await panel(ada).getByText('can read everything that was said before').waitFor();
    await panel(ben).getByRole('button', { name: 'Add people' }).click(); // who has been looking all the while
    await ben.getByRole('dialog', { name: 'Add people' }).getByText('can read everything that was said before').waitFor();
    await ben.keyboard.press('Escape');
    const eve = await member(parley, accounts.ada, 'Eve Adams');
    await api(parley, accounts.ada.token, 'POST', `conversations/${id()}/members`, { user_ids: [eve.id] });
    await panel(ada).getByText('@eve.adams').waitFor();
    const { messages } = await api<{ messages: { seq: number }[] }>(parley, eve.token, 'GET', `conversations/${id()}/messages`);
    expect(messages[0]!.seq).toBe(1);
  });

  test('who is removed loses the box within a second, and never gets what is said then', async () => {
    await box(cleo, 'Film club').waitFor();
    await actions(ben, 'Cleo Patrick').click();
    await ben.getByRole('button', { name: 'Remove from the group' }).click();
    await ben.getByText('Remove Cleo Patrick? The group goes from their list, and they get nothing that is said from now on.').waitFor();
    await shoot(ben, 'group-remove-dark');
    await ben.getByRole('button', { name: 'Remove', exact: true }).click();
    const start = performance.now();
    await cleo.getByText('Ben Okri removed you. Nothing more can be written here.').waitFor();
    const took = performance.now() - start;
    console.log(`removed after ${took.toFixed(0)} ms`);
    expect(took).toBeLessThan(1000);
    expect(await box(cleo, 'Film club').count()).toBe(0);
    await panel(ben).getByText('@cleo.patrick').waitFor({ state: 'detached' });
    await shoot(cleo, 'group-removed-light');
    await clean(cleo);

    await write(ben, 'Film club', 'Only for those who are still here');
    await expect.poll(() => texts(ada)).toContain('Only for those who are still here');
    await cleo.waitForTimeout(500); // nothing is what should come
    expect(await texts(cleo)).toEqual(early);
    await cleo.getByRole('link', { name: 'Parley' }).click();
    await expect.poll(() => cleo.getByRole('link', { name: /Film club/ }).count()).toBe(0);
    // Its address leads to what one had of it.
    await open(cleo);
    await cleo.getByText('Ben Okri removed you. Nothing more can be written here.').waitFor();
    await cleo.getByRole('heading', { name: 'Film club' }).waitFor();
    await expect.poll(() => texts(cleo)).toEqual(early);
    expect(await box(cleo, 'Film club').count()).toBe(0);
    await cleo.getByRole('link', { name: 'Parley' }).click();
  });

  test('who comes back reads on, without what was said meanwhile', async () => {
    await api(parley, accounts.ada.token, 'PATCH', `conversations/${id()}`, { share_history: false });
    await api(parley, accounts.ada.token, 'POST', `conversations/${id()}/members`, { user_ids: [accounts.cleo.id] });
    await cleo.getByRole('navigation').getByRole('link', { name: /Film club/ }).click();
    await box(cleo, 'Film club').waitFor();
    await write(cleo, 'Film club', 'Back again');
    await expect.poll(() => texts(ada)).toContain('Back again');
    await said(cleo, 'Ada Lovelace added you');
    expect(await texts(cleo)).toEqual([...early, 'Back again']);
  });

  test('the last owner leaves, is told who takes over, and they do', async () => {
    await panel(ada).getByRole('button', { name: 'Leave the group' }).click();
    await ada.getByText('You are the only owner: Ben Okri becomes owner.').waitFor();
    await shoot(ada, 'group-leave-light');
    await clean(ada);
    await panel(ada).getByRole('button', { name: 'Stay' }).click();
    await panel(ada).getByRole('button', { name: 'Leave the group' }).click();
    await panel(ada).getByRole('button', { name: 'Leave', exact: true }).click();
    await ada.getByText('You left. Nothing more can be written here.').waitFor();
    expect(await panel(ada).count()).toBe(0);
    await said(cleo, 'Ada Lovelace made Ben Okri an owner');
    await said(cleo, 'Ada Lovelace left');
    await expect.poll(() => panel(ben).getByRole('switch').isDisabled()).toBe(false);
  });

  test('all of it is still so after loading the page again', async () => {
    await ben.reload();
    await panel(ben).getByText('@ben.okri').waitFor();
    await expect.poll(() => panel(ben).getByRole('listitem').allInnerTexts()).toEqual([
      expect.stringMatching(/Ben Okri\s*You\s*@ben.okri\s*Owner/),
      expect.stringContaining('Cleo Patrick'),
      expect.stringContaining('Dan Brown'),
      expect.stringContaining('Eve Adams'),
    ]);
    await cleo.reload();
    await said(cleo, 'Ada Lovelace left');
    await cleo.getByRole('heading', { name: 'Film club' }).waitFor();
    await ada.reload();
    await ada.getByText('You left. Nothing more can be written here.').waitFor();
    await ada.getByRole('link', { name: 'Parley' }).click();
    await expect.poll(() => ada.getByRole('link', { name: /Film club/ }).count()).toBe(0);
    await ada.getByRole('button', { name: 'Former groups' }).click();
    const former = ada.getByRole('dialog', { name: 'Former groups' });
    await former.getByRole('link', { name: /Film club/ }).waitFor();
    await clean(ada);
    await former.getByRole('link', { name: /Film club/ }).click();
    await ada.getByText('You left. Nothing more can be written here.').waitFor();
    await ada.goto(`${parley.url}/c/${crypto.randomUUID()}`);
    await ada.getByText('There is no such conversation').waitFor();
  });

  test('it looks right on a phone', async () => {
    const small = await (await context(browser, { ...phone, storageState: await ben.context().storageState() })).newPage();
    await small.goto(`${parley.url}/`);
    await small.getByRole('link', { name: /Film club/ }).waitFor();
    await shoot(small, 'phone-group-list');
    await small.getByRole('link', { name: /Film club/ }).click();
    await small.getByRole('log').getByText('Back again').waitFor();
    await shoot(small, 'phone-group-conversation');
    await openPanel(small);
    await shoot(small, 'phone-group-panel');
    expect(await box(small, 'Film club').isVisible()).toBe(false);
    await clean(small);
    await panel(small).getByRole('button', { name: 'Add people' }).click();
    await small.getByRole('dialog').getByRole('option').first().waitFor();
    await shoot(small, 'phone-group-add');
    expect(await small.evaluate(() => document.documentElement.scrollWidth > innerWidth)).toBe(false);
    await small.goBack();
    await small.goBack();
    await box(small, 'Film club').waitFor();
    await small.context().close();
  });

  test('a group of many: its members are listed quickly, and found', async () => {
    const many: Account[] = [];
    for (let i = 0; i < 120; i += 8) many.push(...(await Promise.all(Array.from({ length: 8 }, (_, n) => member(parley, accounts.ada, `Person ${i + n}`)))));
    await api(parley, accounts.ben.token, 'POST', `conversations/${id()}/members`, { user_ids: many.map((m) => m.id) });
    await expect.poll(() => panel(ben).getByRole('heading', { name: 'Members' }).innerText()).toContain('124');
    await said(ben, 'You added Person 0, Person 1, Person 2, and 117 others'); // one line, not 120
    expect(await panel(ben).getByRole('listitem').count()).toBe(50);
    const find = panel(ben).getByRole('textbox', { name: 'Find a member' });
    await find.fill('person 11');
    await expect.poll(() => panel(ben).getByRole('listitem').count()).toBe(11); // 11, 110 to 119
    await find.press('Escape');
    await expect.poll(() => panel(ben).getByRole('listitem').count()).toBe(50);
    await panel(ben).getByRole('button', { name: /Show more/ }).click();
    expect(await panel(ben).getByRole('listitem').count()).toBe(100);
    await shoot(ben, 'group-many-dark');
  });

  test('who was removed while away is told on coming back, and what they wrote is not lost', async () => {
    await open(cleo);
    await box(cleo, 'Film club').waitFor();
    await parley.down();
    await cleo.context().setOffline(true);
    await write(cleo, 'Film club', 'Written on the train');
    await parley.up();
    await api(parley, accounts.ben.token, 'DELETE', `conversations/${id()}/members/${accounts.cleo.id}`);
    await cleo.context().setOffline(false);
    // It may be half a minute before it tries to connect again.
    await cleo.getByText('Ben Okri removed you. Nothing more can be written here.').waitFor({ timeout: 45_000 });
    await cleo.getByRole('log').getByText('You’re no longer in this conversation.').waitFor();
    await cleo.getByRole('log').getByText('Written on the train').waitFor();
    await said(cleo, 'Ada Lovelace added you'); // earlier than what was held: fetched now
    await shoot(cleo, 'group-removed-away-light');
    expect(await texts(ben)).not.toContain('Written on the train');
    // It leads back there, over a reload too, until it is given up.
    await cleo.goto(`${parley.url}/`);
    await cleo.getByRole('navigation').getByRole('link', { name: /no longer in this group/ }).click();
    const lost = cleo.getByRole('log').getByRole('article').filter({ hasText: 'Written on the train' });
    await lost.getByRole('button', { name: 'Copy text' }).click();
    await lost.getByRole('button', { name: 'Copied' }).waitFor();
    await lost.getByRole('button', { name: 'Delete' }).click();
    await cleo.getByRole('link', { name: 'Parley' }).click();
    await expect.poll(() => cleo.getByRole('navigation').getByRole('link').count()).toBe(0);
  });
});

// Somebody in a thousand groups: the list opens and is searched as if it were short.
describe('a thousand conversations', () => {
  const total = 1_000;
  let parley: Parley;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    const ada = await admin(parley, 'Ada Lovelace');
    const ben = await member(parley, ada, 'Ben Okri');
    const create = (n: number): Promise<Conversation> =>
      api(parley, ben.token, 'POST', 'conversations', { kind: 'group', title: `Group number ${n}`, member_ids: [ada.id] });
    const start = performance.now();
    let next = 0;
    await Promise.all(Array.from({ length: 16 }, async () => {
      while (next < total) await create(next++);
    }));
    console.log(`${total} groups in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    page = await signedIn(browser, parley, ada, phone);
    await page.getByRole('link', { name: /Group number/ }).first().waitFor();
  });

  afterAll(async () => {
    expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  test('open soon on a slow machine, without holding it up', async () => {
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    await page.addInitScript(() => {
      const w = window as unknown as { lcp: number; longest: number };
      w.lcp = w.longest = 0;
      new PerformanceObserver((l) => (w.lcp = l.getEntries().at(-1)!.startTime)).observe({ type: 'largest-contentful-paint', buffered: true });
      new PerformanceObserver((l) => {
        for (const e of l.getEntries()) w.longest = Math.max(w.longest, e.duration);
      }).observe({ type: 'longtask', buffered: true });
    });
    await page.reload();
    await page.getByRole('link', { name: /Group number/ }).first().waitFor();
    const usable = await page.evaluate(() => performance.now());
    // The rest of them comes with the first sync.
    await page.waitForTimeout(3000);
    const { lcp, longest } = await page.evaluate(() => {
      const w = window as unknown as { lcp: number; longest: number };
      return { lcp: w.lcp, longest: w.longest };
    });
    console.log(`usable ${usable.toFixed(0)} ms, LCP ${lcp.toFixed(0)} ms, longest task ${longest.toFixed(0)} ms`);
    expect(lcp).toBeLessThan(2000);
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: 1 });
  });

  test('are all there, more of them as one scrolls', async () => {
    const rows = page.getByRole('navigation').getByRole('link');
    expect(await rows.count()).toBe(50);
    await page.getByRole('navigation').evaluate((e) => (e.scrollTop = e.scrollHeight));
    await expect.poll(() => rows.count()).toBeGreaterThan(50);
    expect(await rows.count()).toBeLessThanOrEqual(150);
  });

  test('are searched while one types', async () => {
    const search = page.getByRole('combobox', { name: 'Search people and conversations' });
    await search.fill('number 77');
    await page.getByRole('option', { name: /Group number 77/ }).first().waitFor();
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    const { times, found } = await search.evaluate(async (e) => {
      const input = e as HTMLInputElement;
      const times: number[] = [];
      const found: number[] = [];
      for (const text of ['g', 'gr', 'gro', 'grou', 'group', 'group 9', 'group 99', 'gn', 'gnu', 'groop', 'group 1', 'xyz']) {
        await new Promise(requestAnimationFrame);
        const start = performance.now();
        input.value = text;
        input.dispatchEvent(new InputEvent('input', { bubbles: true }));
        await Promise.resolve();
        void input.offsetHeight;
        times.push(performance.now() - start);
        found.push(document.querySelectorAll('[role=option]').length);
      }
      return { times: times.sort((a, b) => a - b), found };
    });
    expect(found.slice(0, 6)).toEqual([20, 20, 20, 20, 20, 20]);
    console.log(`key to layout at 4x: median ${times[6]!.toFixed(1)} ms, worst ${times.at(-1)!.toFixed(1)} ms`);
    expect(times[6]).toBeLessThan(32);
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: 1 });
  });
});
