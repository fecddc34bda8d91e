import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { box, clean, complaintsOf, context, launch, phone, shoot, signedIn, signIn, write } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

// Downloading one's data, deleting the account, and what stays on a device that was signed out elsewhere.
describe('leaving', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let cleo: Account;
  let page: Page;
  let talk = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Ben Okri');
    cleo = await member(parley, ada, 'Cleo Patrick');
    talk = await direct(parley, ben, ada);
    page = await signedIn(browser, parley, ben);
  });

  afterAll(async () => {
    for (const c of browser?.contexts() ?? []) expect(complaintsOf(c)).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  const settings = async (p: Page): Promise<void> => {
    await p.goto(`${parley.url}/settings`);
    await p.getByRole('heading', { name: 'Your account' }).waitFor();
  };
  const post = (who: Account, id: string, body: string, reply_to?: number): Promise<{ seq: number }> =>
    api(parley, who.token, 'POST', `conversations/${id}/messages`, { client_id: crypto.randomUUID(), body, reply_to });
  /** All that the browser keeps for the page. */
  const stored = (p: Page): Promise<string> =>
    p.evaluate(async () => {
      const db = await new Promise<IDBDatabase>((resolve) => {
        const r = indexedDB.open('parley:/:outbox', 1);
        r.onsuccess = () => resolve(r.result);
      });
      const items = db.objectStoreNames.length === 0 ? [] : await new Promise<unknown[]>((resolve) => {
        const r = db.transaction('outbox').objectStore('outbox').getAll();
        r.onsuccess = () => resolve(r.result);
      });
      db.close();
      return JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), items]);
    });

  test('all sessions are listed, and the others end with one button', async () => {
    await api(parley, '', 'POST', 'sessions', { username: ben.username, password: ben.password });
    await settings(page);
    const sessions = page.locator('section', { has: page.getByRole('heading', { name: 'Where you are signed in' }) });
    await sessions.getByText(/^Now, from 127\.0\.0\.1, signed in /).waitFor();
    expect(await sessions.getByRole('listitem').count()).toBeGreaterThan(1);
    await clean(page);
    await shoot(page, 'leaving-sessions-light');
    await sessions.getByRole('button', { name: 'Sign out everywhere else' }).click();
    await expect.poll(() => sessions.getByRole('listitem').count()).toBe(1);
    await sessions.getByRole('button', { name: 'Sign out everywhere else' }).waitFor({ state: 'detached' });
    await expect(api(parley, ben.token, 'GET', 'me')).rejects.toThrow('401');
    ben.token = (await api<{ token: string }>(parley, '', 'POST', 'sessions', { username: ben.username, password: ben.password })).token;
  });

  test('a download asks for the password where it has to, and has what one wrote', async () => {
    await post(ben, talk, 'from-ben');
    await post(ada, talk, 'from-ada');
    // The server would say so an hour after signing in.
    await page.route('**/me/export', (route) => route.fulfill({
      status: 403, contentType: 'application/problem+json',
      body: JSON.stringify({ status: 403, code: 'confirmation_required', detail: 'Enter your password to continue.' }),
    }), { times: 1 });
    await settings(page);
    await page.getByRole('button', { name: 'Download my data' }).click();
    const dialog = page.getByRole('dialog', { name: 'Confirm it’s you' });
    await dialog.getByLabel('Password', { exact: true }).fill('not the password');
    await dialog.getByRole('button', { name: 'Continue' }).click();
    await dialog.getByText('That\'s not your current password.').waitFor();
    await clean(page);
    await shoot(page, 'leaving-confirm-light');
    await dialog.getByLabel('Password', { exact: true }).fill(ben.password);
    const [download] = await Promise.all([page.waitForEvent('download'), dialog.getByRole('button', { name: 'Continue' }).click()]);
    await page.getByText('Downloaded').waitFor();
    expect(download.suggestedFilename()).toMatch(/^parley-export-\d{4}-\d\d-\d\d\.ndjson$/);
    const lines = (await readFile((await download.path())!, 'utf8')).trim().split('\n').map((l) => JSON.parse(l) as Record<string, unknown>);
    expect(lines[0]).toMatchObject({ type: 'profile', username: 'ben.okri' });
    expect(lines.at(-1)).toMatchObject({ type: 'end', lines: lines.length - 1 });
    const bodies = lines.filter((l) => l.type === 'message').map((l) => l.body);
    expect(bodies).toContain('from-ben');
    expect(bodies).not.toContain('from-ada');
  });

  test('who closes the dialog is not told of a failure', async () => {
    await page.route('**/me/export', (route) => route.fulfill({
      status: 403, contentType: 'application/problem+json', body: JSON.stringify({ status: 403, code: 'confirmation_required', detail: 'Enter your password.' }),
    }), { times: 1 });
    await page.getByRole('button', { name: 'Download my data' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Download my data' }).waitFor();
    expect(await page.getByText('Enter your password').count()).toBe(0);
  });

  test('signed out elsewhere, all tabs lose what was written and not sent', async () => {
    const c = await context(browser);
    const [one, two] = [await c.newPage(), await c.newPage()];
    await one.goto(`${parley.url}/c/${talk}`);
    await signIn(one, ada);
    await two.goto(`${parley.url}/c/${talk}`);
    await box(two, 'Ben Okri').fill('a secret draft');
    await expect.poll(() => stored(two)).toContain('a secret draft');
    // A message that cannot go out yet.
    await one.route('**/socket', (route) => route.abort());
    const { sessions } = await api<{ sessions: { id: string; current: boolean }[] }>(parley, ada.token, 'GET', 'sessions');
    for (const s of sessions) if (!s.current) await api(parley, ada.token, 'DELETE', `sessions/${s.id}`);
    for (const p of [one, two]) {
      await p.getByText('You were signed out.').waitFor();
      await expect.poll(() => stored(p)).not.toContain('secret');
    }
    await signIn(two, ada);
    await box(two, 'Ben Okri').waitFor();
    expect(await box(two, 'Ben Okri').inputValue()).toBe('');
    await c.close();
  });

  test('a session that ended while no page was open leaves nothing either', async () => {
    const c = await context(browser);
    let p = await c.newPage();
    // What is sent waits on this device.
    await p.routeWebSocket(/\/socket$/, (ws) => {
      const server = ws.connectToServer();
      ws.onMessage((frame) => (String(frame).includes('message.send') ? undefined : server.send(frame)));
    });
    await p.goto(`${parley.url}/c/${talk}`);
    await signIn(p, ada);
    await box(p, 'Ben Okri').fill('a secret draft');
    await expect.poll(() => stored(p)).toContain('a secret draft');
    await write(p, 'Ben Okri', 'an unsent secret');
    await expect.poll(() => stored(p)).toContain('an unsent secret');
    await p.close();
    const { sessions } = await api<{ sessions: { id: string; current: boolean }[] }>(parley, ada.token, 'GET', 'sessions');
    for (const s of sessions) if (!s.current) await api(parley, ada.token, 'DELETE', `sessions/${s.id}`);
    p = await c.newPage();
    await p.goto(`${parley.url}/c/${talk}`);
    await p.getByText('You were signed out.').waitFor();
    await expect.poll(() => stored(p)).not.toContain('secret');
    await c.close();
  });

  test('a deleted account is gone for its owner and shows as deleted to others', async () => {
    const group = (await api<{ id: string }>(parley, ben.token, 'POST', 'conversations', { kind: 'group', title: 'Readers', member_ids: [ada.id, cleo.id] })).id;
    const { seq } = await post(ben, group, 'a text of ben');
    await post(cleo, group, 'an answer', seq);
    const other = await signedIn(browser, parley, ada);
    await other.goto(`${parley.url}/c/${group}`);
    await other.getByRole('log').getByText('a text of ben').first().waitFor();

    await page.goto(`${parley.url}/c/${group}`);
    await box(page, 'Readers').fill('a secret draft');
    await expect.poll(() => stored(page)).toContain('a secret draft');
    await settings(page);
    await page.getByRole('button', { name: 'Delete account' }).click();
    const dialog = page.getByRole('dialog', { name: 'Delete account' });
    await dialog.getByLabel('Erase them for everyone').check();
    await dialog.getByRole('button', { name: 'Delete account' }).click();
    await dialog.getByText('This is needed.').waitFor();
    await clean(page);
    await shoot(page, 'leaving-delete-light');
    for (const [name, size] of [['390', 390], ['320', 320]] as const) {
      await page.setViewportSize({ width: size, height: 720 });
      await shoot(page, `leaving-delete-${name}`);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await dialog.getByLabel('Password', { exact: true }).fill(ben.password);
    await dialog.getByRole('button', { name: 'Delete account' }).click();
    await page.getByText('Your account was deleted.').waitFor();
    await expect.poll(() => stored(page)).not.toContain('secret');

    // A page that shows the group follows: the texts, what quotes them, and the name.
    await other.getByText('a text of ben').waitFor({ state: 'detached' });
    await other.getByRole('log').getByText(/Deleted user left/).waitFor();
    await other.getByRole('log').getByText('an answer').waitFor();
    await shoot(other, 'leaving-group-light');
    await other.goto(`${parley.url}/c/${talk}`);
    await other.getByRole('heading', { name: 'Deleted user' }).waitFor();
    await other.getByText('This account was deleted. You can read').waitFor();
    expect(await other.getByRole('textbox', { name: /Message to/ }).count()).toBe(0);
    expect(await other.getByRole('log').innerText()).not.toContain('from-ben');
    await other.getByRole('log').getByText('from-ada').waitFor();
    await clean(other);
    await shoot(other, 'leaving-direct-light');
    await other.emulateMedia({ colorScheme: 'dark' });
    await shoot(other, 'leaving-direct-dark');
    await other.keyboard.press('Control+k');
    await other.keyboard.type('ben');
    await other.getByText('Nobody found for “ben”.').waitFor();
    await other.context().close();
  });

  test('the last admin is told why not, and nothing happens', async () => {
    const p = await signedIn(browser, parley, ada, phone);
    await settings(p);
    await p.emulateMedia({ colorScheme: 'dark' });
    await p.getByRole('button', { name: 'Delete account' }).scrollIntoViewIfNeeded();
    await shoot(p, 'leaving-settings-phone-dark');
    await p.getByRole('button', { name: 'Delete account' }).click();
    const dialog = p.getByRole('dialog', { name: 'Delete account' });
    await dialog.getByLabel('Password', { exact: true }).fill(ada.password);
    await dialog.getByRole('button', { name: 'Delete account' }).click();
    await dialog.getByText('You\'re the last admin.').waitFor();
    await shoot(p, 'leaving-last-admin-phone-dark');
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await p.getByRole('heading', { name: 'Your account' }).waitFor();
    await p.context().close();
  });
});
