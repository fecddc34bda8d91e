import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Conversation } from '../src/lib/api/types';
import { box, clean, complaintsOf, launch, phone, shoot, signedIn, texts, write } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

// People are found, chosen and written to while the server is slow to answer.
describe('finding people at a slow server', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  const people: Record<string, Account> = {};
  let page: Page;

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start({ basePath: '/chat' }), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    for (const name of ['Aaron Aal', 'Ben Okri', 'Benedicta Marsh', 'Cleo Patrick', 'Dan Brown', 'Eve Adams']) people[name] = await member(parley, ada, name);
    page = await signedIn(browser, parley, ada);
    await slow(page);
  });

  afterAll(async () => {
    expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  /** Answers to a search come late, those to longer texts sooner: the last one asked is not the last one there. */
  const slow = (p: Page): Promise<unknown> =>
    p.route(/\/api\/v1\/users\?/, async (route) => {
      const text = new URL(route.request().url()).searchParams.get('query') ?? '';
      await new Promise((resolve) => setTimeout(resolve, Math.max(150, 600 - 100 * text.length)));
      await route.continue().catch(() => {}); // the page may be gone
    });
  /** Ctrl K, as soon as the page takes keys. */
  const find = async (p: Page): Promise<void> => {
    await p.goto(`${parley.url}/`);
    await p.getByRole('button', { name: 'Your account and settings' }).waitFor();
    await p.keyboard.press('Control+k');
    await p.getByRole('dialog').getByRole('combobox').waitFor();
  };
  const names = (p: Page) => p.getByRole('list', { name: 'Chosen people' }).getByRole('button').allInnerTexts();
  const conversations = async (who: Account): Promise<Conversation[]> =>
    (await api<{ conversations: Conversation[] }>(parley, who.token, 'GET', 'conversations')).conversations;

  test('Enter right after the name opens the chat of that person, whoever the list shows till then', async () => {
    for (const [typed, name] of [['ben okri', 'Ben Okri'], ['cleo', 'Cleo Patrick'], ['dan', 'Dan Brown'], ['eve adams', 'Eve Adams'], ['ben', 'Ben Okri'], ['benedicta', 'Benedicta Marsh'], ['aaron', 'Aaron Aal'], ['brown', 'Dan Brown']] as const) {
      await find(page);
      await page.keyboard.type(typed);
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name, exact: true }).waitFor();
      expect(new URL(page.url()).pathname).toBe(`/chat/to/${people[name]!.id}`);
    }
  });

  test('Enter right after each name puts those people into a group', async () => {
    await page.goto(`${parley.url}/?show=new`);
    await page.getByRole('textbox', { name: 'Name of the group' }).fill('Book club');
    await page.keyboard.press('Tab');
    const wanted = ['Cleo Patrick', 'Ben Okri', 'Eve Adams'];
    for (const [i, typed] of ['cleo', 'ben', 'eve'].entries()) {
      await page.keyboard.type(typed);
      await page.keyboard.press('Enter');
      await page.keyboard.press('Enter'); // twice, as people do: takes nobody else
      await expect.poll(() => names(page)).toEqual(wanted.slice(0, i + 1));
    }
    // Create is not for a choice that is still open.
    await page.keyboard.type('dan');
    await page.keyboard.press('Enter');
    expect(await page.getByRole('button', { name: /^Create group/ }).isDisabled()).toBe(true);
    await expect.poll(() => names(page)).toEqual([...wanted, 'Dan Brown']);
    await page.getByRole('button', { name: 'Create group with 4 people' }).click();
    await page.getByRole('heading', { name: 'Book club' }).waitFor();
  });

  test('somebody who is in the group already is not taken for somebody else who is not', async () => {
    await page.goto(`${page.url().split('?')[0]}?show=add`);
    const picker = page.getByRole('combobox', { name: 'People', exact: true });
    await picker.waitFor();
    await page.getByRole('option', { name: /Aaron/ }).waitFor();
    await picker.fill('ben');
    await page.keyboard.press('Enter');
    await page.getByRole('option', { name: /Ben Okri/ }).waitFor();
    await expect.poll(() => page.getByRole('option').count()).toBe(2);
    expect(await names(page)).toEqual([]);
    await picker.fill('benedicta');
    await page.keyboard.press('Enter');
    await expect.poll(() => names(page)).toEqual(['Benedicta Marsh']);
  });

  test('a name completed with Enter before the members are known is the one that was typed', async () => {
    await page.goto(`${parley.url}/`);
    const club = (await conversations(ada)).find((c) => c.title === 'Book club')!;
    await page.route(/\/members/, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 700));
      await route.continue().catch(() => {});
    });
    await page.goto(`${parley.url}/c/${club.id}`);
    await box(page, 'Book club').click();
    await page.keyboard.type('@dan');
    await page.keyboard.press('Enter');
    await expect.poll(() => box(page, 'Book club').inputValue()).toBe('@dan.brown ');
    expect(await texts(page)).toEqual([]);
    await page.unroute(/\/members/);
    await box(page, 'Book club').fill('');
  });

  test('looking at a person creates nothing; the first message does, for both', async () => {
    const dan = people['Dan Brown']!;
    const his = await signedIn(browser, parley, dan);
    await find(page);
    await page.keyboard.type('dan brown');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Dan Brown' }).waitFor();
    expect(await page.title()).toBe('Dan Brown · Parley');
    await shoot(page, 'to-light');
    await clean(page);
    await box(page, 'Dan Brown').fill('Dear');
    await page.waitForTimeout(400); // a draft is written down a moment after the last key
    await page.reload();
    await expect.poll(() => box(page, 'Dan Brown').inputValue()).toBe('Dear');
    for (const who of [ada, dan]) expect((await conversations(who)).filter((c) => c.kind === 'direct')).toEqual([]);
    await page.goBack();
    await page.goForward();
    for (const body of ['Dear Dan,', 'hello', 'there']) await write(page, 'Dan Brown', body);
    await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/chat\/c\/[0-9a-f-]{36}$/);
    await expect.poll(() => texts(page)).toEqual(['Dear Dan,', 'hello', 'there']);
    await his.getByRole('navigation').getByRole('link', { name: /Ada Lovelace.*there/ }).click();
    await expect.poll(() => texts(his)).toEqual(['Dear Dan,', 'hello', 'there']);
    // From then on that address is the conversation's.
    await page.goto(`${parley.url}/to/${dan.id}`);
    await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/chat\/c\//);
    await his.context().close();
  });

  test('without a connection it waits, over a reload too, and is sent once', async () => {
    const eve = people['Eve Adams']!;
    const small = await signedIn(browser, parley, ada, { ...phone, viewport: { width: 320, height: 640 } });
    await small.goto(`${parley.url}/to/${eve.id}`);
    await box(small, 'Eve Adams').waitFor();
    await small.context().setOffline(true);
    for (const body of ['one', 'two']) {
      await box(small, 'Eve Adams').fill(body);
      await small.getByRole('button', { name: 'Send' }).tap();
    }
    await expect.poll(() => texts(small)).toEqual(['one', 'two']);
    await shoot(small, 'to-waiting-320');
    expect(await small.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
    await small.context().setOffline(false);
    await small.reload();
    await expect.poll(async () => (await conversations(eve)).filter((c) => c.kind === 'direct').map((c) => c.last_message?.body)).toEqual(['two']);
    await expect.poll(() => texts(small)).toEqual(['one', 'two']);
    expect(new URL(small.url()).pathname).toMatch(/^\/chat\/c\//);
    await small.context().close();
  });

  test('what was written for a person is on the list, and stays when they write first', async () => {
    const cleo = people['Cleo Patrick']!;
    const mine = await signedIn(browser, parley, ada, phone);
    const row = mine.getByRole('navigation').getByRole('link', { name: /Cleo Patrick/ });
    await mine.goto(`${parley.url}/to/${cleo.id}`);
    await box(mine, 'Cleo Patrick').fill('half a sentence');
    await mine.getByRole('button', { name: 'Back to conversations' }).click();
    expect(await row.innerText()).toMatch(/Draft:\s*half a sentence/);
    await mine.reload();
    await row.click();
    await mine.context().setOffline(true);
    await box(mine, 'Cleo Patrick').fill('sent without a connection');
    await mine.getByRole('button', { name: 'Send' }).tap();
    await box(mine, 'Cleo Patrick').fill('another half');
    await mine.getByRole('button', { name: 'Back to conversations' }).click();
    expect(await row.innerText()).toMatch(/Draft:\s*another half/);
    await shoot(mine, 'to-draft-phone');
    const id = await direct(parley, cleo, ada);
    await api(parley, cleo.token, 'POST', `conversations/${id}/messages`, { client_id: crypto.randomUUID(), body: 'hello Ada' });
    await mine.context().setOffline(false);
    await row.click();
    await expect.poll(() => new URL(mine.url()).pathname).toBe(`/chat/c/${id}`);
    await expect.poll(async () => (await texts(mine)).sort()).toEqual(['hello Ada', 'sent without a connection']);
    expect(await box(mine, 'Cleo Patrick').inputValue()).toBe('another half');
    await mine.context().close();
  });

  test('what lies over a first message stays while the conversation is created, and a phone keeps its keyboard', async () => {
    const aaron = people['Aaron Aal']!;
    const mine = await signedIn(browser, parley, ada, phone);
    let create = (): void => {};
    await mine.route(/\/api\/v1\/conversations$/, async (route) => {
      if (route.request().method() === 'POST') await new Promise<void>((resolve) => (create = resolve));
      await route.continue();
    });
    await mine.goto(`${parley.url}/to/${aaron.id}`);
    const asked = mine.waitForRequest((r) => r.method() === 'POST' && r.url().endsWith('/conversations'));
    await box(mine, 'Aaron Aal').tap();
    await mine.keyboard.type('hello');
    await mine.getByRole('button', { name: 'Send' }).tap();
    await asked;
    await mine.keyboard.press('Control+k');
    await mine.getByRole('dialog').getByRole('combobox').fill('cleo');
    create();
    await expect.poll(() => new URL(mine.url()).pathname).toMatch(/^\/chat\/c\//);
    expect(await mine.getByRole('dialog').getByRole('combobox').inputValue()).toBe('cleo');
    await mine.context().close();

    const other = await signedIn(browser, parley, people['Dan Brown']!, phone);
    await other.goto(`${parley.url}/to/${aaron.id}`);
    await box(other, 'Aaron Aal').tap();
    await other.keyboard.type('hello');
    await other.getByRole('button', { name: 'Send' }).tap();
    await expect.poll(() => new URL(other.url()).pathname).toMatch(/^\/chat\/c\//);
    await expect.poll(() => other.evaluate(() => document.activeElement?.tagName)).toBe('TEXTAREA');
    await other.context().close();
  });

  test('one long name widens nothing: when it was read stays in view', async () => {
    const long = await member(parley, ada, 'W'.repeat(64));
    const club = await api<Conversation>(parley, ada.token, 'POST', 'conversations', { kind: 'group', title: 'W'.repeat(200), member_ids: [long.id, people['Ben Okri']!.id] });
    const { seq } = await api<{ seq: number }>(parley, ada.token, 'POST', `conversations/${club.id}/messages`, { client_id: crypto.randomUUID(), body: 'Who is here?' });
    const hers = await signedIn(browser, parley, long);
    await hers.goto(`${parley.url}/c/${club.id}`);
    await hers.getByRole('log').getByText('Who is here?').waitFor();
    for (const [width, height] of [[320, 480], [1280, 800]] as const) {
      const small = await signedIn(browser, parley, ada, { viewport: { width, height } });
      for (const show of [`seen&of=${seq}`, 'group', 'add', 'notify', 'find', 'new']) {
        await small.goto(`${parley.url}/c/${club.id}?show=${show}`);
        const of = small.locator(show === 'group' ? '.panel' : 'dialog').last();
        await of.getByText(show === 'notify' ? 'For 1 hour' : 'WWWW').first().waitFor();
        // Nothing lies beyond the window, nor needs scrolling sideways.
        const beyond = await of.evaluate((e) =>
          [e, ...e.querySelectorAll<HTMLElement>('*')].filter((x) => {
            const { left, right, width } = x.getBoundingClientRect();
            const clipped = x.closest('bdi, h1, h2, [class*=name], .unseen, input, svg') !== null;
            return width > 0 && !clipped && (left < -1 || right > innerWidth + 1 || (getComputedStyle(x).overflowX === 'auto' && x.scrollWidth > x.clientWidth + 1));
          }).map((x) => x.outerHTML.slice(0, 120)),
        );
        expect(beyond, `${show} at ${width}`).toEqual([]);
        const { y, height: high } = (await of.boundingBox())!;
        expect(y + high, `${show} at ${width}`).toBeLessThanOrEqual(height);
        await shoot(small, `long-name-${show.split('&')[0]}-${width}`);
        if (show.startsWith('seen')) {
          const time = (await of.getByRole('listitem').locator('time').first().boundingBox())!;
          expect(time.x + time.width).toBeLessThanOrEqual(width);
        }
      }
      await small.context().close();
    }
    await hers.context().close();
  });

  test('an address of nobody, or of oneself, says that it leads nowhere', async () => {
    for (const id of ['019a0000-0000-7000-8000-000000000001', 'nonsense', ada.id]) {
      await page.goto(`${parley.url}/to/${id}`);
      await page.getByRole('heading', { name: 'There is no such conversation' }).waitFor();
    }
  });

  test('a known conversation opens with Enter while people cannot be searched', async () => {
    await page.goto(`${parley.url}/`);
    await page.getByRole('navigation').getByRole('link', { name: /Book club/ }).waitFor();
    await page.unroute(/\/api\/v1\/users\?/);
    await page.route(/\/api\/v1\/users\?/, (route) => route.abort());
    await page.keyboard.press('Control+k');
    await page.keyboard.type('book');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Book club' }).waitFor();
  });
});
