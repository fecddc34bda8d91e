import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, BrowserContext, CDPSession, Page, Worker } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Conversation } from '../src/lib/api/types';
import { box, clean, complaintsOf, context, launch, launchOwn, look, phone, shoot, signedIn, signIn } from './browser';
import { Desktop } from './desktop';
import { Parley } from './parley';
import { PushService } from './push-service';
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
  let dir = '';
  let service: PushService;
  let desktop: Desktop;
  const ids: Record<string, string> = {};

  beforeAll(async () => {
    desktop = await Desktop.start();
    [parley, browser] = await Promise.all([Parley.start({ basePath: '/chat', env: { PARLEY_PUSH_ALLOW_PRIVATE: 'true' } }), launch()]);
    service = await PushService.start();
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Ben Okri');
    cleo = await member(parley, ada, 'Cleo Patrick');
    for (const who of [ben, cleo]) ids[who.username] = await direct(parley, ada, who);
    dir = await mkdtemp(path.join(tmpdir(), 'parley-profile-'));
    c = await launchOwn(dir, { DBUS_SESSION_BUS_ADDRESS: desktop.address });
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
    await c?.close();
    await browser?.close();
    service?.stop();
    await desktop?.stop();
    await rm(dir, { recursive: true, force: true });
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
      const registration = await navigator.serviceWorker.ready;
      // Not while something is being shown: Chromium would forget that.
      const list = await navigator.locks.request('parley:/chat/:shown', () => registration.getNotifications());
      return list.map(({ title, body, tag, silent, icon }) => ({ title, body, tag, silent, icon }));
    });

  /** Clicks what the desktop shows with a title, as soon as it does. */
  const click = (title: string): Promise<void> => expect.poll(() => desktop.click(title)).toBe(true);
  const onDesktop = (): string[] => desktop.shown.map((n) => n.title).sort();

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
    await click('Cleo Patrick');
    await box(page, 'Cleo Patrick').waitFor();
    expect(new URL(page.url()).pathname).toBe(`/chat/c/${ids[cleo.username]}`);
    expect(await page.evaluate(() => 'same' in window)).toBe(true);
    await expect.poll(shown).toMatchObject([{ title: 'Parley' }]);
    await click('Parley');
    await expect.poll(shown).toEqual([]);
    await expect.poll(onDesktop).toEqual([]);
  });

  test('the number on the icon is that of the push, and of the page', async () => {
    const badge = (numbers: number[]): void => {
      Object.assign(globalThis, { numbers });
      Object.assign(navigator, {
        setAppBadge: async (n: number) => void numbers.push(n),
        clearAppBadge: async () => void numbers.push(0),
      });
    };
    const numbers = (): number[] => (globalThis as unknown as { numbers: number[] }).numbers;
    await worker.evaluate(badge, []);
    await push(message(ben, 4, { unread: 12 }));
    await expect.poll(() => worker.evaluate(numbers)).toEqual([12]);
    await push({ type: 'test', title: 'Parley', body: 'Test', tag: 'test', unread: 0, at: new Date().toISOString() });
    await expect.poll(onDesktop).toEqual(['Ben Okri', 'Parley']);
    await push(message(ben, 5, { unread: 0 }));
    await expect.poll(() => worker.evaluate(numbers)).toEqual([12, 0]);
    for (const title of ['Ben Okri', 'Parley']) await click(title);
    await expect.poll(shown).toEqual([]);

    await page.evaluate(badge, []);
    await api(parley, cleo.token, 'POST', `conversations/${ids[cleo.username]}/messages`, { client_id: crypto.randomUUID(), body: 'One' });
    await expect.poll(() => page.evaluate(numbers)).toEqual([1]);
    await page.getByRole('link', { name: /Cleo Patrick/ }).click();
    await expect.poll(() => page.evaluate(numbers)).toEqual([1, 0]);
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

  const here = (p: Page) => p.getByRole('switch', { name: 'Notifications in this browser' });
  const devices = (p: Page) => p.getByRole('region', { name: 'Where you get notifications' }).getByRole('listitem');

  const mine = async (who = ada) => (await api<{ devices: { id: string }[] }>(parley, who.token, 'GET', 'devices')).devices;
  const say = (who: Account, body: string) =>
    api<{ seq: number }>(parley, who.token, 'POST', `conversations/${ids[who.username]}/messages`, { client_id: crypto.randomUUID(), body });

  /** Goes to a page and waits until it has looked after its subscription, as it does after its start. */
  async function renewed(url: string): Promise<void> {
    await page.goto(url);
    await page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const { locks } = navigator;
          const request = locks.request.bind(locks) as (...all: unknown[]) => Promise<unknown>;
          const watched = async (name: string, ...rest: unknown[]): Promise<unknown> => {
            const is = await request(name, ...rest);
            if (name.endsWith(':subscription')) resolve();
            return is;
          };
          Object.assign(locks, { request: watched });
        }),
    );
  }

  test('where the browser has no push service, turning it on says so', async () => {
    const other = await signedIn(browser, parley, cleo); // a private window has none
    await other.context().grantPermissions(['notifications'], { origin: new URL(parley.url).origin });
    await other.goto(`${parley.url}/settings`);
    await here(other).click();
    await other.getByText('The browser could not set up notifications. They do not work in private windows.').waitFor();
    expect(await here(other).isChecked()).toBe(false);
    await other.getByText('Nowhere yet.').waitFor();
    await shoot(other, 'push-no-service-light');
    await other.context().close();
  });

  test('turned on, this browser is registered, once, and again at the next start', async () => {
    await service.stub(page);
    await page.goto(`${parley.url}/settings`);
    await here(page).check();
    await page.getByText('You are told of new messages here').waitFor();
    await expect.poll(() => devices(page).allInnerTexts()).toEqual([expect.stringMatching(/Chrome on Linux\s*This browser\s*Nothing was sent there yet/)]);
    const [{ id }] = (await mine()) as [{ id: string }];
    // The server forgot it.
    await api(parley, ada.token, 'DELETE', `devices/${id}`);
    await page.goto(`${parley.url}/`);
    await expect.poll(async () => (await mine()).length).toBe(1);
    await page.goto(`${parley.url}/settings`);
    await devices(page).first().waitFor();
    expect(await here(page).isChecked()).toBe(true);
  });

  test('a test says what the push service said, and arrives', async () => {
    await page.getByRole('button', { name: 'Send test to Chrome on Linux' }).click();
    await page.getByText('Sent. If it does not appear').waitFor();
    await devices(page).getByText(/Last reached today at/).waitFor();
    await shoot(page, 'push-settings-light');
    await clean(page);
    await push(service.received.splice(0)[0]);
    await expect.poll(shown).toMatchObject([{ title: 'Parley', body: 'Notifications reach this device.', tag: 'test', silent: false }]);
    await page.getByRole('link', { name: 'Parley', exact: true }).click();
    await click('Parley');
    await here(page).waitFor();

    service.status = 500;
    await page.getByRole('button', { name: /^Send test/ }).click();
    await page.getByText('The test could not be delivered.').waitFor();
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.reload();
    await devices(page).getByText(/Not reached today at /).waitFor();
    await shoot(page, 'push-failing-dark');
    await clean(page);
    await page.emulateMedia({ colorScheme: 'light' });
    service.status = 201;
    service.received = [];
  });

  test('whoever is away is told of a message, and a click leads to it', async () => {
    await page.goto('about:blank');
    await api(parley, ben.token, 'POST', `conversations/${ids[ben.username]}/messages`, { client_id: crypto.randomUUID(), body: 'Come back' });
    await expect.poll(() => service.received).toMatchObject([{ type: 'message', title: 'Ben Okri', body: 'Come back', conversation_id: ids[ben.username] }]);
    await push(service.received.splice(0)[0]);
    const titles = (): Promise<string[]> =>
      worker.evaluate(async () => (await (self as unknown as { registration: ServiceWorkerRegistration }).registration.getNotifications()).map((n) => `${n.title}: ${n.body}`));
    await expect.poll(titles).toEqual(['Ben Okri: Come back']);
    // No window of Parley is open: a click opens one.
    const opened = c.waitForEvent('page');
    await click('Ben Okri');
    const fresh = await opened;
    await fresh.getByRole('log').getByText('Come back').waitFor();
    expect(new URL(fresh.url()).pathname).toBe(`/chat/c/${ids[ben.username]}`);
    await fresh.close();

    // Who does not want others to read over their shoulder.
    await page.goto(`${parley.url}/settings`);
    await page.getByRole('switch', { name: 'Show names and text' }).uncheck();
    await page.getByText('Notifications only say “New message”').waitFor();
    await page.goto('about:blank');
    await api(parley, ben.token, 'POST', `conversations/${ids[ben.username]}/messages`, { client_id: crypto.randomUUID(), body: 'Secret' });
    await expect.poll(() => service.received).toMatchObject([{ title: 'Parley', body: 'New message' }]);
    service.received = [];
  });

  test('a page that nobody looks at shows by itself what comes, and of several pages one', async () => {
    await api(parley, ada.token, 'PATCH', 'me', { push_content: 'full' });
    const pages = [page, await c.newPage()];
    await service.stub(pages[1]!);
    for (const p of pages) {
      await p.goto(`${parley.url}/`);
      await p.getByRole('link', { name: /Ben Okri/ }).waitFor();
      await p.evaluate(() => {
        // How often it looked what there is to show, and how often it showed something.
        const did = { looked: 0, showed: 0 };
        let asked = false; // for what is shown of one conversation
        const request = navigator.locks.request.bind(navigator.locks) as (...all: unknown[]) => Promise<unknown>;
        const looks = async (name: string, ...rest: unknown[]): Promise<unknown> => {
          const is = await request(name, ...rest);
          if (name.endsWith(':shown') && asked) did.looked++;
          asked = false;
          return is;
        };
        const { getNotifications, showNotification } = ServiceWorkerRegistration.prototype;
        function asks(this: ServiceWorkerRegistration, o?: GetNotificationOptions): Promise<Notification[]> {
          asked ||= o?.tag !== undefined;
          return getNotifications.call(this, o);
        }
        function shows(this: ServiceWorkerRegistration, ...of: Parameters<typeof showNotification>): Promise<void> {
          did.showed++;
          return showNotification.apply(this, of);
        }
        Object.assign(navigator.locks, { request: looks });
        Object.assign(ServiceWorkerRegistration.prototype, { getNotifications: asks, showNotification: shows });
        Object.assign(window, { did });
      });
    }
    await look(pages[0]!, { visible: false, focused: false });
    await look(pages[1]!, { visible: true, focused: false }); // another window is before it
    const did = async (): Promise<{ looked: number[]; showed: number }> => {
      const all = await Promise.all(pages.map((p) => p.evaluate(() => (window as unknown as { did: { looked: number; showed: number } }).did)));
      return { looked: all.map((d) => d.looked), showed: all.reduce((sum, d) => sum + d.showed, 0) };
    };
    service.received = [];
    await say(ben, 'Anybody there?');
    await expect.poll(did).toEqual({ looked: [1, 1], showed: 1 });
    expect(await shown()).toEqual([{ title: 'Ben Okri', body: 'Anybody there?', tag: ids[ben.username], silent: false, icon: `${parley.url}/icons/192.png` }]);
    const { seq } = await say(ben, 'Hello?');
    await expect.poll(did).toEqual({ looked: [2, 2], showed: 2 });
    const both = { title: 'Ben Okri', body: '2 new messages\nHello?' };
    expect(await shown()).toMatchObject([{ ...both, silent: false }]);
    // Nobody read it, so that all devices are told of it later: here it is old.
    await push(message(ben, seq, { body: '2 new messages\nHello?', count: 2 }));
    await expect.poll(shown).toMatchObject([{ ...both, silent: true }]);
    // A push that only knows of what was shown and read before does not take it away.
    await push(message(cleo, 2000, { read: [ids[ben.username]] }));
    await expect.poll(async () => (await shown()).map((n) => n.title).sort()).toEqual(['Ben Okri', 'Cleo Patrick']);
    await click('Cleo Patrick');
    await expect.poll(shown).toMatchObject([both]);
    // Nor is somebody told again aloud who has put it away.
    await page.evaluate(async () => (await (await navigator.serviceWorker.ready).getNotifications()).forEach((n) => n.close()));
    await expect.poll(shown).toEqual([]);
    await push(message(ben, seq, { body: '2 new messages\nHello?', count: 2 }));
    await expect.poll(shown).toMatchObject([{ ...both, silent: true }]);

    await expect.poll(() => desktop.shown.length).toBe(1);
    await click('Ben Okri');
    await expect.poll(shown).toEqual([]);
    await expect.poll(() => Promise.all(pages.map(async (p) => p.url().endsWith(ids[ben.username]!)))).toContain(true);

    // Seen in the one, it is over in both.
    await say(cleo, 'And you?');
    await expect.poll(shown).toMatchObject([{ title: 'Cleo Patrick', body: 'And you?' }]);
    await look(pages[1]!, { visible: true, focused: true });
    await pages[1]!.getByRole('link', { name: /Cleo Patrick/ }).click();
    await pages[1]!.getByRole('log').getByText('And you?').waitFor();
    await expect.poll(shown).toEqual([]);
    // Nor does the other one speak up while somebody reads here.
    const before = (await did()).showed;
    await say(cleo, 'Good.');
    await expect.poll(async () => (await did()).looked[0]).toBe(4);
    expect((await did()).showed).toBe(before);
    expect(await shown()).toEqual([]);
    await pages[1]!.close();
    await look(page, { visible: true, focused: true });
    service.received = [];
  });

  test('a device that the push service does not know any more goes, and so does one that is removed', async () => {
    await page.goto(`${parley.url}/settings`);
    service.status = 410;
    await page.getByRole('button', { name: /^Send test/ }).click();
    await page.getByText('The push service does not know this device any more.').waitFor();
    await expect.poll(() => here(page).isChecked()).toBe(false);
    service.status = 201;
    await here(page).check();
    await page.getByText('You are told of new messages here').waitFor();
    await page.getByRole('button', { name: 'Remove Chrome on Linux' }).click();
    await page.getByText('Nowhere yet.').waitFor();
    expect(await here(page).isChecked()).toBe(false);
    await here(page).check();
    await devices(page).first().waitFor();
    await here(page).uncheck();
    await page.getByText('Nowhere yet.').waitFor();
  });

  test('a subscription that the push service ended or the browser dropped is replaced at the next start', async () => {
    await here(page).check();
    await devices(page).first().waitFor();
    const first = (await service.endpoint(page))!;
    service.ended.add(first);
    await page.goto('about:blank');
    await say(ben, 'Nobody hears this');
    await expect.poll(mine).toEqual([]);
    // The browser still gives the one that is ended.
    await page.goto(`${parley.url}/`);
    expect(await service.endpoint(page)).toBe(first);
    await expect.poll(async () => (await mine()).length).toBe(1);
    const second = (await service.endpoint(page))!;
    expect(second).not.toBe(first);
    service.received = [];
    await page.goto('about:blank');
    const { seq } = await say(ben, 'This is heard');
    await expect.poll(() => service.received.filter((p) => p.conversation_id === ids[ben.username] && p.seq === seq)).toHaveLength(1);

    const [{ id }] = (await mine()) as [{ id: string }];
    await page.goto(`${parley.url}/settings`);
    await devices(page).first().waitFor();
    await page.evaluate(() => localStorage.removeItem('stub'));
    await page.reload();
    await expect.poll(() => service.endpoint(page)).not.toBe(null);
    await expect.poll(async () => (await mine()).map((d) => d.id === id)).toEqual([false]);
    expect(await service.endpoint(page)).not.toBe(second);
    await expect.poll(() => here(page).isChecked()).toBe(true);

    // What is turned off stays off.
    await here(page).uncheck();
    await page.getByText('Nowhere yet.').waitFor();
    await renewed(`${parley.url}/settings`);
    expect(await service.endpoint(page)).toBe(null);
    expect(await mine()).toEqual([]);
  });

  test('what is being turned on is not taken for what somebody else left', async () => {
    let go = (): void => {};
    const held = new Promise<void>((resolve) => (go = resolve));
    await page.route('**/api/v1/devices', async (route) => {
      if (route.request().method() === 'POST') await held;
      await route.continue();
    });
    await page.reload();
    await here(page).click();
    // The page, which has just started, is about to look after what is there.
    await expect.poll(() => page.evaluate(async () => (await navigator.locks.query()).pending?.length)).toBe(1);
    go();
    await devices(page).first().waitFor();
    await expect.poll(() => page.evaluate(async () => (await navigator.locks.query()).held?.filter((l) => l.name?.includes('subscription')).length)).toBe(0);
    expect(await service.endpoint(page)).not.toBe(null);
    expect(await here(page).isChecked()).toBe(true);
    await page.unroute('**/api/v1/devices');
    await here(page).uncheck();
    await page.getByText('Nowhere yet.').waitFor();
  });

  test('whoever signs in where somebody else turned them on is asked anew', async () => {
    await here(page).check();
    await devices(page).first().waitFor();
    // The session ends elsewhere: the page cannot clean up after itself.
    const { sessions } = await api<{ sessions: { id: string; user_agent: string }[] }>(parley, ada.token, 'GET', 'sessions');
    for (const s of sessions.filter((s) => s.user_agent.includes('Chrome'))) await api(parley, ada.token, 'DELETE', `sessions/${s.id}`);
    await page.getByText('You were signed out.').waitFor();
    await signIn(page, cleo);
    await page.getByText('Nowhere yet.').waitFor();
    expect(await here(page).isChecked()).toBe(false);
    // Nor does it stay subscribed for who was here before.
    await expect.poll(() => service.endpoint(page)).toBe(null);
    expect(await mine(cleo)).toEqual([]);
    await page.getByRole('listitem').getByRole('button', { name: 'Sign out' }).click();
    await signIn(page, ada);
    await page.goto(`${parley.url}/settings`);
    await page.getByText('Nowhere yet.').waitFor();
  });

  test('whoever turns them on there gets a subscription of their own, and takes it along', async () => {
    await here(page).check();
    await devices(page).first().waitFor();
    const hers = await service.endpoint(page);
    const { sessions } = await api<{ sessions: { id: string; user_agent: string }[] }>(parley, ada.token, 'GET', 'sessions');
    for (const s of sessions.filter((s) => s.user_agent.includes('Chrome'))) await api(parley, ada.token, 'DELETE', `sessions/${s.id}`);
    await page.getByText('You were signed out.').waitFor();
    await signIn(page, cleo);
    await page.getByText('Nowhere yet.').waitFor();
    await here(page).check();
    await devices(page).first().waitFor();
    expect(await mine(cleo)).toHaveLength(1);
    expect(await service.endpoint(page)).not.toBe(hers);
    await page.getByRole('listitem').getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
    await expect.poll(() => service.endpoint(page)).toBe(null);
    for (const who of [cleo, ada]) {
      await signIn(page, who);
      await renewed(`${parley.url}/settings`);
      expect(await service.endpoint(page)).toBe(null);
      expect(await mine(who)).toEqual([]);
      if (who === cleo) await page.getByRole('listitem').getByRole('button', { name: 'Sign out' }).click();
    }
  });

  test('another address that the browser gives is told to the server by the worker, for who is told of messages here alone', async () => {
    const endpoint = 'http://127.0.0.1:9/another';
    // Nothing but the push service has the browser give another one.
    const move = (): Promise<string> =>
      worker.evaluate(
        async ([endpoint, keys]) => {
          let done: Promise<unknown> = Promise.resolve();
          const newSubscription = { toJSON: () => ({ endpoint, expirationTime: null, keys }) };
          self.dispatchEvent(Object.assign(new Event('pushsubscriptionchange'), { newSubscription, waitUntil: (p: Promise<unknown>) => (done = p) }));
          return done.then(() => 'done', String);
        },
        [endpoint, service.keys] as const,
      );
    expect(await move()).toBe('done');
    await page.reload();
    await page.getByText('Nowhere yet.').waitFor(); // they did not turn it on
    await here(page).check();
    await devices(page).first().waitFor();
    const [{ id }] = (await mine()) as [{ id: string }];
    expect(await move()).toBe('done');
    expect(await mine()).toHaveLength(2);
    // The page finds that there is no other any more.
    await service.move(page, endpoint);
    await page.reload();
    await expect.poll(async () => (await mine()).map((d) => d.id === id)).toEqual([false]);
    await page.reload();
    await expect.poll(() => devices(page).allInnerTexts()).toEqual([expect.stringMatching(/Chrome on Linux/)]);
    await page.setViewportSize(phone.viewport!);
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.getByRole('button', { name: /^Send test/ }).click();
    await page.getByText('The test could not be delivered.').waitFor();
    await page.getByRole('button', { name: /^Send test/ }).scrollIntoViewIfNeeded();
    await shoot(page, 'push-settings-phone-dark');
    await clean(page);
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.getByRole('button', { name: 'Remove Chrome on Linux' }).click();
    await page.getByText('Nowhere yet.').waitFor();
  });

  test('a browser that blocks them, and an iPhone, are told what to do', async () => {
    const blocked = await signedIn(browser, parley, ben, { colorScheme: 'dark' });
    const tools = await blocked.context().newCDPSession(blocked);
    const { targetInfo } = await tools.send('Target.getTargetInfo');
    const set = (setting: 'denied' | 'granted') =>
      tools.send('Browser.setPermission', { permission: { name: 'notifications' }, setting, origin: new URL(parley.url).origin, browserContextId: targetInfo.browserContextId! });
    await set('denied');
    await blocked.goto(`${parley.url}/settings`);
    await blocked.getByText('This browser blocks notifications from Parley').waitFor();
    await blocked.getByText('Click the icon next to the web address, allow notifications, and come back here.').waitFor();
    await shoot(blocked, 'push-blocked-dark');
    await clean(blocked);
    // Allowed in the browser's settings, it can be turned on at once.
    await set('granted');
    await here(blocked).waitFor();
    await blocked.context().close();
    const iPhone = await signedIn(browser, parley, ben, {
      ...phone,
      userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1',
    });
    await iPhone.goto(`${parley.url}/settings`);
    await iPhone.getByText('Choose “Add to Home Screen”').scrollIntoViewIfNeeded();
    await shoot(iPhone, 'push-home-screen-phone-light');
    await clean(iPhone);
    await iPhone.context().close();
  });
});
