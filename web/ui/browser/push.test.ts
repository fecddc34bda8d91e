import type { Browser, BrowserContext, CDPSession, Page, Worker } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Conversation } from '../src/lib/api/types';
import { box, complaintsOf, context, launch, signIn } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

/** What a notification shows, as far as it matters here. */
interface Shown {
  title: string;
  body: string;
  tag: string;
  silent: boolean | null;
  icon: string;
}

// Notifications, under a path: the real worker of the real page. What a push service would
// deliver is handed to the worker by the browser itself.
describe('notifications', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let cleo: Account;
  let c: BrowserContext;
  let page: Page;
  let worker: Worker;
  let devtools: CDPSession;
  let registration = '';
  const ids: Record<string, string> = {};

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start({ basePath: '/chat' }), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Ben Okri');
    cleo = await member(parley, ada, 'Cleo Patrick');
    for (const who of [ben, cleo]) ids[who.username] = await direct(parley, ada, who);
    c = await context(browser);
    await c.grantPermissions(['notifications'], { origin: new URL(parley.url).origin });
    page = await c.newPage();
    devtools = await c.newCDPSession(page);
    devtools.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
      registration = registrations.find((r) => r.scopeURL === `${parley.url}/`)?.registrationId ?? registration;
    });
    await devtools.send('ServiceWorker.enable');
    const started = c.waitForEvent('serviceworker');
    await page.goto(`${parley.url}/`);
    worker = await started;
    await signIn(page, ada);
    await page.evaluate(() => navigator.serviceWorker.ready);
  });

  afterAll(async () => {
    expect(complaintsOf(c)).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  /** Hands a push to the worker, as the browser does when one comes from its push service. */
  const push = (data: unknown): Promise<unknown> =>
    devtools.send('ServiceWorker.deliverPushMessage', {
      origin: new URL(parley.url).origin,
      registrationId: registration,
      data: typeof data === 'string' ? data : JSON.stringify(data),
    });

  const message = (who: Account, seq: number, o: object = {}): object => ({
    type: 'message',
    conversation_id: ids[who.username],
    tag: ids[who.username],
    seq,
    title: who.display_name,
    body: `Message ${seq}`,
    count: 1,
    unread: 1,
    at: new Date().toISOString(),
    ...o,
  });

  const shown = (): Promise<Shown[]> =>
    page.evaluate(async () => {
      const list = await (await navigator.serviceWorker.ready).getNotifications();
      return list.map(({ title, body, tag, silent, icon }) => ({ title, body, tag, silent, icon }));
    });

  /**
   * Clicks what is shown under a tag. The browser has no way to have that done from outside,
   * so the worker gets an event of the same form, with the notification that is really there.
   */
  const click = (tag: string): Promise<string[]> =>
    worker.evaluate(async (tag) => {
      const scope = self as unknown as EventTarget & { registration: ServiceWorkerRegistration };
      const [notification] = await scope.registration.getNotifications({ tag });
      let done: Promise<unknown> = Promise.resolve();
      scope.dispatchEvent(Object.assign(new Event('notificationclick'), { notification, waitUntil: (p: Promise<unknown>) => (done = p) }));
      return done.then(() => [], (err) => [String(err)]);
    }, tag);

  test('the worker belongs to the path that Parley is under', async () => {
    expect(worker.url()).toBe(`${parley.url}/sw.js`);
    const of = await page.evaluate(async () => {
      const { scope, active, updateViaCache } = await navigator.serviceWorker.ready;
      return { scope, state: active?.state, updateViaCache };
    });
    expect(of).toMatchObject({ scope: `${parley.url}/`, updateViaCache: 'none' });
  });

  test('what is pushed is shown: one notification a conversation, and nothing older over something newer', async () => {
    await page.getByRole('link', { name: 'Parley' }).click();
    await push(message(ben, 1));
    await expect.poll(shown).toEqual([
      { title: 'Ben Okri', body: 'Message 1', tag: ids[ben.username], silent: false, icon: `${parley.url}/icons/192.png` },
    ]);
    await push(message(ben, 3, { body: '2 new messages\nMessage 3' }));
    await expect.poll(shown).toMatchObject([{ body: '2 new messages\nMessage 3', silent: false }]);
    await push(message(ben, 2));
    await expect.poll(shown).toMatchObject([{ body: '2 new messages\nMessage 3', silent: true }]);
    await push(message(cleo, 1));
    await expect.poll(async () => (await shown()).map((n) => n.title).sort()).toEqual(['Ben Okri', 'Cleo Patrick']);
    // The next payload says what was read elsewhere meanwhile.
    await push({ ...message(cleo, 2), read: [ids[ben.username]] });
    await expect.poll(shown).toMatchObject([{ title: 'Cleo Patrick', body: 'Message 2' }]);
    // What cannot be read is something new all the same, and browsers want it shown.
    await push('not JSON');
    await expect.poll(async () => (await shown()).map((n) => `${n.title}: ${n.body}`).sort()).toEqual(['Cleo Patrick: Message 2', 'Parley: New message']);
  });

  test('a click leads to the conversation in the window that is open, without loading it again', async () => {
    await page.evaluate(() => Object.assign(window, { same: true }));
    expect(await click(ids[cleo.username]!)).toEqual([]);
    await box(page, 'Cleo Patrick').waitFor();
    expect(new URL(page.url()).pathname).toBe(`/chat/c/${ids[cleo.username]}`);
    expect(await page.evaluate(() => 'same' in window)).toBe(true);
    expect(await shown()).toMatchObject([{ title: 'Parley' }]);
    await click('unknown');
    expect(await shown()).toEqual([]);
  });

  test('what was read is closed, here and on another device', async () => {
    await page.goto(`${parley.url}/settings`);
    const said = [];
    for (const who of [ben, cleo]) {
      const { seq } = await api<{ seq: number }>(parley, who.token, 'POST', `conversations/${ids[who.username]}/messages`, { client_id: crypto.randomUUID(), body: 'Read me' });
      said.push(seq);
    }
    await push(message(ben, said[0]!));
    await push(message(cleo, said[1]!));
    await expect.poll(async () => (await shown()).length).toBe(2);
    await page.getByRole('link', { name: /Ben Okri/ }).click();
    await expect.poll(shown).toMatchObject([{ title: 'Cleo Patrick' }]);

    const other = await (await context(browser)).newPage();
    await other.goto(`${parley.url}/c/${ids[cleo.username]}`);
    await signIn(other, ada);
    await expect.poll(shown).toEqual([]);
    await other.context().close();
  });

  test('somebody who looks at the conversation hears nothing, and it is closed when it is read', async () => {
    await page.goto(`${parley.url}/c/${ids[ben.username]}`);
    await box(page, 'Ben Okri').waitFor();
    const { last_seq } = await api<Conversation>(parley, ada.token, 'GET', `conversations/${ids[ben.username]}`);
    await page.bringToFront();
    await push(message(ben, last_seq + 1));
    await expect.poll(shown).toMatchObject([{ title: 'Ben Okri', silent: true }]);
    // It was sent while the page was cut off.
    await api(parley, ben.token, 'POST', `conversations/${ids[ben.username]}/messages`, { client_id: crypto.randomUUID(), body: 'Here it is' });
    await page.getByRole('log').getByText('Here it is').waitFor();
    await expect.poll(shown).toEqual([]);
  });

  test('nothing stays to be seen when one signs out', async () => {
    await push(message(cleo, 1000));
    await expect.poll(async () => (await shown()).length).toBe(1);
    await page.getByRole('button', { name: 'Your account and settings' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
    await expect.poll(shown).toEqual([]);
    await signIn(page, ada);
  });
});
