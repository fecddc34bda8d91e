import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { box, clean, complaintsOf, context, launch, phone, shoot, signedIn, texts } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, say, type Account } from './people';

// What a user typed is what is shown.
describe('the text of a message', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let page: Page;
  let bens: Page;
  /** Without a session, to send from. */
  let visitor: Page;
  let group = '';
  /** What is written to test how long texts are read. */
  let long = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Be');
    group = (await api<{ id: string }>(parley, ada.token, 'POST', 'conversations', { kind: 'group', title: 'Text', member_ids: [ben.id] })).id;
    long = await direct(parley, ada, ben);
    visitor = await (await context(browser)).newPage();
    await visitor.goto(`${parley.url}/`);
    page = await signedIn(browser, parley, ada);
    bens = await signedIn(browser, parley, ben, { colorScheme: 'dark' });
  });

  afterAll(async () => {
    for (const p of [page, bens]) expect(complaintsOf(p.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  const open = (p: Page, id: string) => p.goto(`${parley.url}/c/${id}`);
  const newest = (p: Page) => p.locator('[role=log] [role=article]').last();

  test('stays as it was typed, where it is no markup', async () => {
    const typed = (JSON.parse(readFileSync(new URL('../../../testdata/text/as-typed.json', import.meta.url), 'utf8')) as string[]).map((t) => t.trim()).filter(Boolean);
    await say(visitor, ada, group, typed);
    await open(page, group);
    await expect.poll(async () => (await texts(page)).at(-1)).toBe(typed.at(-1));
    // Those that are on the page; the fixtures are tested one by one without a browser.
    const seen = await texts(page);
    expect(seen.length).toBeGreaterThan(30);
    expect(seen.map((t) => t.replace(/\s+/g, ' '))).toEqual(typed.slice(-seen.length).map((t) => t.replace(/\s+/g, ' ')));
  });

  test('has the typed numbers before its lines, also when it is copied', async () => {
    await say(visitor, ada, group, ['1. one\n2. two\n4. four\n5. five', '- 5 degrees\n- 7 degrees']);
    await newest(page).getByText('7 degrees').waitFor();
    expect((await texts(page)).slice(-2)).toEqual(['1. one\n2. two\n4. four\n5. five', '- 5 degrees\n- 7 degrees']);
    const copied = await newest(page).locator('.text').evaluate((e) => {
      getSelection()!.selectAllChildren(e.querySelector('ul')!);
      return String(getSelection());
    });
    expect(copied.trim()).toBe('- 5 degrees\n- 7 degrees');
  });

  test('goes from right to left line by line', async () => {
    await say(visitor, ada, group, ['English first\nשלום עולם!']);
    const lines = newest(page).locator('.lines > div');
    await lines.nth(1).waitFor();
    expect(await lines.evaluateAll((all) => all.map((e) => getComputedStyle(e).direction))).toEqual(['ltr', 'rtl']);
  });

  test('shows where a link leads', async () => {
    await say(visitor, ada, group, ['[https://good.example](https://evil.example) and [the docs](https://example.com/docs) and https://example.com/docs（说明）']);
    await newest(page).getByText('the docs').waitFor();
    const links = await newest(page).locator('a').evaluateAll((all) => all.map((e) => [(e as HTMLAnchorElement).href, (e as HTMLElement).innerText.replace('\u00a0', ' ')]));
    expect(links).toEqual([
      ['https://good.example/', 'https://good.example'],
      ['https://evil.example/', 'https://evil.example'],
      ['https://example.com/docs', 'the docs (example.com)'],
      ['https://example.com/docs', 'https://example.com/docs'],
    ]);
  });

  test('turns neither links nor code round', async () => {
    await open(page, group);
    /** The characters of an element from left to right, as they are painted. */
    const painted = (selector: string): Promise<string> =>
      newest(page).locator(selector).first().evaluate((e) => {
        const all: [DOMRect, string][] = [];
        const walker = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
          for (let i = 0; i < node.textContent!.length; i++) {
            const range = document.createRange();
            range.setStart(node, i);
            range.setEnd(node, i + 1);
            all.push([range.getBoundingClientRect(), node.textContent![i]!]);
          }
        }
        // Line by line: it may be broken.
        return all.sort(([a], [b]) => (Math.abs(a.top - b.top) > a.height / 2 ? a.top - b.top : a.left - b.left)).map(([, c]) => c).join('');
      });
    const address = 'https://example.org/abc/def';
    // Also where they nest deeper than browsers isolate.
    for (const [n, before] of ['\u202e', '\u2067', '\u2069\u202e', '\u202e'.repeat(50), '\u202e'.repeat(130)].entries()) {
      const code = 'if (admin\u202e \u2066// no check\u2069) {';
      await say(visitor, ada, group, [`${before}${address} \`${code}\` ${n}!`]);
      await newest(page).getByText(`${n}!`).waitFor();
      expect(await painted('a')).toBe(address);
      expect(await painted('code')).toBe(n < 4 ? 'if (admin[U+202E] [U+2066]// no check[U+2069]) {' : 'if (admin\ufffd \ufffd// no check[U+2069]) {');
    }
    await shoot(page, 'text-turned');
    // What was typed is what is copied.
    await say(visitor, ada, group, ['`a\u202eb`']);
    const row = page.getByRole('article').last();
    await row.getByText('a[U+202E]b').waitFor();
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await row.hover();
    await row.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('menuitem', { name: 'Copy text' }).click();
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe('`a\u202eb`');
  });

  test('notifies of the mentions that it shows, and completes them after any script', async () => {
    await open(page, group);
    const text = box(page, 'Text');
    const mentions = async (): Promise<string[] | undefined> => {
      const { messages } = await api<{ messages: { mentions?: string[] }[] }>(parley, ben.token, 'GET', `conversations/${group}/messages?limit=1`);
      return messages.at(-1)?.mentions;
    };
    await text.pressSequentially('你好@b');
    await page.getByRole('option', { name: /Be/ }).click();
    await text.press('Enter');
    await newest(page).locator('.mention', { hasText: '@Be' }).waitFor();
    await expect.poll(mentions).toEqual([ben.id]);

    await text.fill('`@be` is code');
    await text.press('Enter');
    await newest(page).locator('code', { hasText: '@be' }).waitFor();
    await page.locator('[aria-label="Sent"], [aria-label="Delivered"], [aria-label="Read"]').last().waitFor();
    await expect.poll(mentions).toBe(undefined);
  });

  test('names those whom it mentions where it is quoted', async () => {
    await open(page, group);
    const { seq } = await api<{ seq: number }>(parley, ben.token, 'POST', `conversations/${group}/messages`, {
      client_id: crypto.randomUUID(), body: `**@be ${'and so on '.repeat(30)}**`, mentions: [ben.id],
    });
    await api(parley, ben.token, 'POST', `conversations/${group}/messages`, { client_id: crypto.randomUUID(), body: 'The answer', reply_to: seq });
    const quote = newest(page).locator('.quoted .said');
    await quote.getByText(/^@Be and so on/).waitFor();
    await quote.getByText('*').waitFor({ state: 'detached' });
  });

  test('freezes no page, however it is made', async () => {
    const hostile = Array.from({ length: 50 }, (_, i) => `http://a${'!'.repeat(16_000)}${i}`);
    await say(visitor, ada, long, [...hostile, `${'a'.repeat(16_382)}@`, `${'**'.repeat(8_000)}end`]);
    await open(page, long);
    await expect.poll(async () => (await texts(page)).at(-1)?.endsWith('*end')).toBe(true);
    // As markup, not as something that was given up on: the address ends before the signs.
    const links = await page.locator('[role=log] .text a').evaluateAll((all) => all.map((a) => (a as HTMLAnchorElement).innerText));
    expect(links.length).toBeGreaterThan(10);
    expect(new Set(links)).toEqual(new Set(['http://a']));
  });

  /** Of the messages shown, those whose time is not whole within what is painted of their text. */
  const withoutTime = (p: Page): Promise<string[]> =>
    p.locator('[role=log] [role=article] .text').evaluateAll((all) =>
      all
        .filter((e) => e.querySelector('.meta')!.getBoundingClientRect().bottom > e.getBoundingClientRect().bottom + 4)
        .map((e) => (e as HTMLElement).innerText),
    );

  test('shows its time whatever it ends with', async () => {
    const room = (await api<{ id: string }>(parley, ada.token, 'POST', 'conversations', { kind: 'group', title: 'Looks', member_ids: [ben.id] })).id;
    const messages: [Account, string][] = [
      [ada, '**Bold**, *italic*, ~~struck~~, `code` and ***both***. ¯\\_(ツ)_/¯ C:\\Users\\ann\\*.txt'],
      [ben, 'Shopping:\n\n- milk\n- eggs, a long line that goes on until it has to be broken somewhere, with the second line below the first\n  * brown\n  * white\n- bread\n\nThanks!'],
      [ada, '1. one\n2. two\n4. four\n10. ten'],
      [ben, '> Shall we?\n> It is **late**.\nYes, @be'],
      [ada, '```go\nfunc main() {\n\tfmt.Println("Hello, a rather long line that scrolls sideways in its block")\n}\n```'],
      [ben, '| name | points |\n|------|-------:|\n| Ada  |     12 |\n| Be   |      7 |'],
      [ada, 'See [the docs](https://example.com/docs) or https://example.com/docs（说明）'],
      [ben, 'English first\nשלום עולם!\n- אחת\n- שתיים'],
      [ada, '- 5 degrees\n- 7 degrees'],
      [ben, 'שלום, https://example.com/a טוב\n> ציטוט\n> שני'],
    ];
    for (const [who, body] of messages) {
      await api(parley, who.token, 'POST', `conversations/${room}/messages`, { client_id: crypto.randomUUID(), body, ...(body.includes('@be') ? { mentions: [ben.id] } : {}) });
    }
    for (const p of [page, bens]) {
      await open(p, room);
      await p.getByText('ציטוט').waitFor();
      await clean(p);
      expect(await withoutTime(p)).toEqual([]);
    }
    await shoot(page, 'text-light');
    await shoot(bens, 'text-dark');
    await bens.setViewportSize({ width: 1280, height: 1400 });
    await shoot(bens, 'text-dark-high');
    const small = await signedIn(browser, parley, ada, phone);
    await open(small, room);
    await small.getByText('ציטוט').waitFor();
    expect(await withoutTime(small)).toEqual([]);
    await shoot(small, 'text-phone');
    expect(complaintsOf(small.context())).toEqual([]);
  });
});
