import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { box, complaintsOf, context, launch, shoot, signedIn, texts, write } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, say, type Account } from './people';

// The server goes away, kindly and not, and what was written meanwhile arrives all the same.
describe('without a connection', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let id = '';
  let page: Page;
  let other: Page;

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Ben Okri');
    id = await direct(parley, ada, ben);
    page = await signedIn(browser, parley, ada);
    other = await signedIn(browser, parley, ben);
    await page.goto(`${parley.url}/c/${id}`);
    await other.goto(`${parley.url}/c/${id}`);
    await box(page, 'Ben Okri').waitFor();
    await box(other, 'Ada Lovelace').waitFor();
  });

  afterAll(async () => {
    for (const p of [page, other]) expect(complaintsOf(p.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  /** The message that says just this; its time comes right after. */
  const inLog = (p: Page, text: string) => p.getByRole('log').getByText(new RegExp(`^${text}\\s*\\d+:\\d\\d`));
  const sending = (p: Page) => p.getByRole('log').getByRole('img', { name: 'Sending' });

  const stored = async (): Promise<string[]> => {
    const { entries } = await api<{ entries: { kind: string; body?: string }[] }>(parley, ben.token, 'GET', `conversations/${id}/entries?after=0&limit=100`);
    return entries.filter((e) => e.kind === 'message').map((e) => e.body!);
  };

  test('what is written while the server is down is queued, shown so, and kept over a reload', async () => {
    await write(page, 'Ben Okri', 'before');
    await inLog(other, 'before').waitFor();
    await parley.down('SIGKILL');

    for (const text of ['one', 'two', 'three']) await write(page, 'Ben Okri', text);
    expect(await sending(page).count()).toBe(3);
    await page.getByText('No connection. What you write is kept here').waitFor();
    await shoot(page, 'offline-light');
    await box(page, 'Ben Okri').fill('and a draft');

    // The page goes as well: the tab is closed, not just the connection.
    const url = page.url();
    const profile = page.context();
    await page.close();
    await parley.up();
    page = await profile.newPage();
    await page.goto(url);

    for (const text of ['one', 'two', 'three']) await inLog(other, text).waitFor();
    await expect.poll(() => sending(page).count()).toBe(0);
    expect(await texts(page)).toEqual(['before', 'one', 'two', 'three']);
    await expect.poll(() => texts(other)).toEqual(['before', 'one', 'two', 'three']);
    expect(await stored()).toEqual(['before', 'one', 'two', 'three']);
    expect(await box(page, 'Ben Okri').inputValue()).toBe('and a draft');
    await box(page, 'Ben Okri').fill('');
  });

  test('the banner goes and everything catches up without a reload', async () => {
    await parley.down();
    await page.getByText('No connection.').waitFor();
    await write(page, 'Ben Okri', 'from Ada');
    await write(other, 'Ada Lovelace', 'from Ben');
    await parley.up();
    await inLog(other, 'from Ada').waitFor({ timeout: 45_000 });
    await inLog(page, 'from Ben').waitFor({ timeout: 45_000 });
    await page.getByText('No connection.').waitFor({ state: 'detached' });
    expect(await texts(page)).toEqual(await texts(other));
    expect((await stored()).slice(-2).sort()).toEqual(['from Ada', 'from Ben']);
  });

  test('somebody who was away gets everything that was said, in order', async () => {
    await page.context().setOffline(true);
    // Chromium cuts no socket that is open; a dead one is found by its silence.
    await page.evaluate(() => dispatchEvent(new Event('online')));
    await page.getByText('No connection.').waitFor({ timeout: 30_000 });
    const side = await (await context(browser)).newPage();
    await side.goto(`${parley.url}/`);
    const bodies = Array.from({ length: 150 }, (_, i) => `while away ${i + 1}`);
    await say(side, ben, id, bodies);
    await page.context().setOffline(false);
    await page.getByText('No connection.').waitFor({ state: 'detached' });
    await inLog(page, 'while away 150').waitFor();
    expect((await texts(page)).filter((t) => t.startsWith('while away'))).toEqual(bodies);
    await side.context().close();
  });

  test('an answer that was lost leaves one message', async () => {
    // Every acknowledgement to this page is eaten, and the connection cut after it.
    let eaten = 0;
    const fresh = await (await context(browser, { storageState: await page.context().storageState() })).newPage();
    await fresh.routeWebSocket(/api\/v1\/socket/, (ws) => {
      const server = ws.connectToServer();
      ws.onMessage((m) => server.send(m));
      server.onMessage((m) => {
        const frame = JSON.parse(String(m)) as { type: string; data?: { seq?: number; kind?: string } };
        const tells = frame.type === 'reply' ? frame.data?.seq !== undefined : frame.type === 'entry';
        if (eaten < 3 && tells) {
          eaten++;
          void ws.close({ code: 4002 });
          return;
        }
        ws.send(m);
      });
    });
    await fresh.goto(page.url());
    await write(fresh, 'Ben Okri', 'exactly once');
    await inLog(other, 'exactly once').waitFor();
    await expect.poll(() => sending(fresh).count(), { timeout: 30_000 }).toBe(0);
    expect(eaten).toBeGreaterThan(0);
    expect((await texts(fresh)).filter((t) => t === 'exactly once')).toHaveLength(1);
    await expect.poll(async () => (await texts(other)).filter((t) => t === 'exactly once').length).toBe(1);
    await fresh.context().close();
  });

  test('two tabs of one browser write into one conversation', async () => {
    const second = await page.context().newPage();
    await second.goto(page.url());
    await box(second, 'Ben Okri').waitFor();
    await parley.down();
    for (const n of [1, 2, 3]) {
      await write(page, 'Ben Okri', `first tab ${n}`);
      await write(second, 'Ben Okri', `second tab ${n}`);
    }
    // Each shows what the other has queued.
    await inLog(page, 'second tab 3').waitFor();
    await inLog(second, 'first tab 3').waitFor();
    await parley.up();
    const want = [1, 2, 3].flatMap((n) => [`first tab ${n}`, `second tab ${n}`]);
    for (const p of [page, second, other]) {
      await expect.poll(async () => (await texts(p)).slice(-6), { timeout: 60_000 }).toEqual(want);
      await expect.poll(() => sending(p).count()).toBe(0);
    }
    await second.close();
  });

  test('a message that is refused says why, can be tried again and be given up', async () => {
    const fresh = await (await context(browser, { storageState: await page.context().storageState() })).newPage();
    let refuse = true;
    await fresh.routeWebSocket(/api\/v1\/socket/, (ws) => {
      const server = ws.connectToServer();
      server.onMessage((m) => ws.send(m));
      ws.onMessage((m) => {
        const frame = JSON.parse(String(m)) as { type: string; id: string };
        if (refuse && frame.type === 'message.send') {
          ws.send(JSON.stringify({ type: 'error', id: frame.id, error: { code: 'invalid', detail: 'The message cannot be sent: it is a test.' } }));
        } else server.send(m);
      });
    });
    await fresh.goto(page.url());
    await write(fresh, 'Ben Okri', 'refused at first');
    await fresh.getByText('Not sent. The message cannot be sent: it is a test.').waitFor();
    await write(fresh, 'Ben Okri', 'given up');
    await expect.poll(() => fresh.getByText(/^Not sent\. /).count()).toBe(2);
    await fresh.getByRole('link', { name: /Not sent:/ }).waitFor();
    await shoot(fresh, 'failed-light');
    await fresh.getByRole('button', { name: 'Delete' }).last().click();
    await inLog(fresh, 'given up').waitFor({ state: 'detached' });
    refuse = false;
    await fresh.getByRole('button', { name: 'Try again' }).click();
    await inLog(other, 'refused at first').waitFor();
    await expect.poll(() => fresh.getByText('Not sent.').count()).toBe(0);
    await fresh.context().close();
  });

  test('after a restore from a backup the page starts afresh', async () => {
    const fresh = await (await context(browser, { storageState: await page.context().storageState() })).newPage();
    let epoch = '';
    let synced = false;
    let drop = (): void => {};
    await fresh.routeWebSocket(/api\/v1\/socket/, (ws) => {
      const server = ws.connectToServer();
      drop = () => void ws.close({ code: 4002 });
      ws.onMessage((m) => {
        synced ||= (JSON.parse(String(m)) as { type: string }).type === 'sync';
        server.send(m);
      });
      server.onMessage((m) => {
        const frame = JSON.parse(String(m)) as { type: string; data: { epoch: string } };
        if (frame.type === 'hello' && epoch) frame.data.epoch = epoch;
        ws.send(JSON.stringify(frame));
      });
    });
    const asked: string[] = [];
    fresh.on('request', (r) => asked.push(new URL(r.url()).pathname));
    await fresh.goto(page.url());
    await inLog(fresh, 'refused at first').waitFor();
    await expect.poll(() => synced).toBe(true);
    asked.length = 0;
    epoch = '00000000-0000-7000-8000-000000000001';
    drop();
    // The rows are fetched anew, although none is missing.
    await expect.poll(() => asked.filter((p) => p.endsWith('/messages')).length, { timeout: 15_000 }).toBeGreaterThan(0);
    await inLog(fresh, 'refused at first').waitFor();
    await fresh.getByRole('link', { name: /Ben Okri/ }).waitFor();
    await fresh.context().close();
  });

  test('who writes far from the latest message sees it, and is brought there once that can be had', async () => {
    const cleo = await member(parley, ada, 'Cleo Patrick');
    const long = await direct(parley, cleo, ada);
    const side = await (await context(browser)).newPage();
    await side.goto(`${parley.url}/`);
    await say(side, cleo, long, Array.from({ length: 400 }, (_, i) => `number ${i + 1} of many`));
    await side.context().close();

    const fresh = await (await context(browser, { storageState: await page.context().storageState() })).newPage();
    await fresh.goto(`${parley.url}/`);
    // It opens at the first of the unread ones.
    await fresh.getByRole('link', { name: /Cleo Patrick/ }).click();
    await inLog(fresh, 'number 1 of many').waitFor();
    await fresh.getByRole('button', { name: /new messages$/ }).waitFor();
    const below = (): Promise<number> => fresh.getByRole('log').evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight);

    // A page that comes late is put below, and the reader stays where they are.
    await fresh.route(/messages\?after=/, (route) => route.abort());
    await fresh.getByRole('log').evaluate((e) => (e.scrollTop = e.scrollHeight));
    await fresh.getByText('Later messages could not be loaded.').waitFor();
    await fresh.unroute(/messages\?after=/);
    await fresh.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(below).toBeGreaterThan(1000);
    expect((await texts(fresh)).at(-1)).not.toBe('number 400 of many');

    await parley.down();
    await fresh.getByText('No connection.').waitFor();
    await write(fresh, 'Cleo Patrick', 'from afar');
    await inLog(fresh, 'from afar').waitFor();
    await write(fresh, 'Cleo Patrick', 'and again');
    await inLog(fresh, 'and again').waitFor();
    expect(await sending(fresh).count()).toBe(2);
    await fresh.getByText('Later messages could not be loaded.').waitFor();
    await shoot(fresh, 'cut-off-light');
    await parley.up();
    await inLog(fresh, 'number 400 of many').waitFor({ timeout: 45_000 });
    await expect.poll(async () => (await texts(fresh)).slice(-3)).toEqual(['number 400 of many', 'from afar', 'and again']);
    await expect.poll(() => sending(fresh).count()).toBe(0);
    expect(await fresh.getByText('Later messages could not be loaded.').count()).toBe(0);
    await expect.poll(below).toBeLessThanOrEqual(1);
    await fresh.context().close();
  });

  test('a page that goes right after Enter leaves what was sent in the box', async () => {
    const fresh = await (await context(browser, { storageState: await page.context().storageState() })).newPage();
    // A device that takes for ever to write a message down.
    await fresh.addInitScript(() => {
      const transaction = IDBDatabase.prototype.transaction;
      IDBDatabase.prototype.transaction = function (...args) {
        if (args[1] !== 'readwrite') return transaction.apply(this, args);
        const nothing = (): void => {};
        return { objectStore: () => ({ put: nothing, delete: nothing }) } as unknown as IDBTransaction;
      };
    });
    await fresh.goto(page.url());
    await write(fresh, 'Ben Okri', 'sent and gone');
    expect(await box(fresh, 'Ben Okri').inputValue()).toBe('');
    await fresh.reload();
    await expect.poll(() => box(fresh, 'Ben Okri').inputValue()).toBe('sent and gone');
    await fresh.context().close();
  });

  test('what could not be loaded comes by itself, and can be closed', async () => {
    // Without a service worker, which would have it.
    const fresh = await (await context(browser, { storageState: await page.context().storageState(), serviceWorkers: 'block' })).newPage();
    const openSettings = async (): Promise<void> => {
      await fresh.getByRole('button', { name: 'Your account and settings' }).click();
      await fresh.getByRole('button', { name: 'Settings', exact: true }).click();
      await fresh.getByRole('heading', { name: 'This page could not be loaded' }).waitFor();
    };
    await fresh.goto(`${parley.url}/`);
    await fresh.getByRole('link', { name: /Ben Okri/ }).waitFor();
    await parley.down();
    await openSettings();
    await fresh.getByRole('button', { name: 'Close' }).click();
    expect(new URL(fresh.url()).pathname).toBe('/');
    await openSettings();
    await parley.up();
    const heading = fresh.getByRole('heading', { name: 'Settings', exact: true });
    await heading.waitFor();
    expect(await heading.evaluate((e) => getComputedStyle(e).fontWeight)).toBe('650'); // its style sheet is there too
    await fresh.context().close();
  });

  test('a page that cannot reach the server says so and comes up by itself', async () => {
    const fresh = await (await context(browser, { storageState: await page.context().storageState() })).newPage();
    await fresh.route('**/api/**', (route) => route.abort());
    await fresh.goto(`${parley.url}/`);
    await fresh.getByRole('heading', { name: 'Parley cannot be reached' }).waitFor();
    await fresh.unroute('**/api/**');
    await fresh.getByRole('link', { name: /Ben Okri/ }).waitFor();
    await fresh.context().close();
  });

  test('a conversation that was reloaded while the server was away is there with it', async () => {
    const fresh = await (await context(browser, { storageState: await page.context().storageState() })).newPage();
    await fresh.goto(`${parley.url}/c/${id}`);
    await write(fresh, 'Ben Okri', 'still there');
    await inLog(other, 'still there').waitFor();
    await fresh.evaluate(() => navigator.serviceWorker.ready);
    await parley.down();
    await fresh.reload();
    await fresh.getByRole('heading', { name: 'Parley cannot be reached' }).waitFor();
    expect(await fresh.getByText('kept here').count()).toBe(0); // nothing is
    await parley.up();
    await inLog(fresh, 'still there').waitFor();
    expect(await fresh.getByText('The messages could not be loaded.').count()).toBe(0);

    // What was not sent is said to be kept, and is.
    await parley.down();
    await write(fresh, 'Ben Okri', 'not sent yet');
    await inLog(fresh, 'not sent yet').waitFor();
    await fresh.reload();
    await fresh.getByText('1 message of yours is kept here and sent when it is back.').waitFor();
    await shoot(fresh, 'unreachable-light');
    await parley.up();
    await inLog(other, 'not sent yet').waitFor({ timeout: 45_000 });
    await fresh.context().close();
  });
});
