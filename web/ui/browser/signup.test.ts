import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clean, complaintsOf, context, launch, phone, shoot, signedIn } from './browser';
import { Parley } from './parley';
import { admin, api, member, type Account } from './people';

// Who can make an account, and who can invite: as whoever runs the server has it.
describe('signing up', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let page: Page;

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    ben = await member(parley, ada, 'Ben Okri');
    page = await (await context(browser)).newPage();
  });

  afterAll(async () => {
    expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  const restart = async (env: Record<string, string>): Promise<void> => {
    await parley.down();
    await parley.up(env);
  };
  const invite = (p: Page) => p.getByRole('button', { name: 'Invite people' });

  test('by invitation: one that is no good is refused, and what was typed stays', async () => {
    await page.goto(`${parley.url}/signin`);
    await page.getByText('Ask an admin for an invitation.').waitFor();
    expect(await page.getByRole('link', { name: 'Make an account' }).count()).toBe(0);
    await page.goto(`${parley.url}/join`);
    await page.getByRole('heading', { name: 'This invitation is not complete' }).waitFor();

    // One that was used up while the form was filled in.
    const used = await api<{ code: string }>(parley, ada.token, 'POST', 'invites', { max_uses: 1 });
    await page.goto(`${parley.url}/join#${used.code}`);
    await page.getByLabel('Your name').fill('Cleo Patrick');
    await page.getByLabel('Password', { exact: true }).fill('a barge she sat in');
    await api(parley, '', 'POST', 'users', { invite: used.code, username: 'faster', display_name: 'Faster', password: 'correct horse battery' });
    await page.getByRole('button', { name: 'Join' }).click();
    await page.getByText('This invitation has expired or was already used. Ask for a new link.').waitFor();
    await shoot(page, 'join-refused-light');
    expect(await page.getByLabel('Your name').inputValue()).toBe('Cleo Patrick');
    expect(await page.getByLabel('Username').inputValue()).toBe('cleo.patrick');
    expect(await page.getByLabel('Password', { exact: true }).inputValue()).toBe('a barge she sat in');
    // The right link, opened here, goes on with it.
    const { code } = await api<{ code: string }>(parley, ada.token, 'POST', 'invites', { max_uses: 1 });
    await page.goto(`${parley.url}/join#${code}`);
    await page.getByRole('button', { name: 'Join' }).click();
    await page.getByRole('heading', { name: 'Welcome, Cleo Patrick' }).waitFor();
  });

  test('a dead invitation is refused before anything is typed, and its code is in no request line', async () => {
    const asked: string[] = [];
    const dead = await (await context(browser, { ...phone, viewport: { width: 320, height: 640 } })).newPage();
    dead.on('request', (r) => asked.push(r.url()));
    const { code } = await api<{ code: string }>(parley, ada.token, 'POST', 'invites', { max_uses: 1 });
    await api(parley, '', 'POST', 'users', { invite: code, username: 'dead', display_name: 'Dead', password: 'correct horse battery' });
    await dead.goto(`${parley.url}/join#${code}`);
    await dead.getByText('This invitation has expired or was already used. Ask for a new link.').waitFor();
    expect(await dead.getByLabel('Your name').count()).toBe(0);
    expect(await dead.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
    await shoot(dead, 'join-dead-320');
    await clean(dead);
    expect(asked.filter((url) => new URL(url).pathname.includes(code) || new URL(url).search.includes(code))).toEqual([]);
    // Where it cannot be checked, signing up decides.
    await dead.route('**/api/v1/invites/check', (route) => route.abort());
    await dead.reload();
    await dead.getByLabel('Your name').waitFor();
    await dead.context().close();
  });

  test('only admins invite, unless everybody may', async () => {
    const his = await signedIn(browser, parley, ben);
    await his.getByRole('heading', { name: 'Welcome, Ben Okri' }).waitFor();
    expect(await invite(his).count()).toBe(0);
    await restart({ PARLEY_MEMBERS_INVITE: 'true' });
    await his.reload();
    await invite(his).click();
    await his.getByRole('button', { name: 'Make a link' }).click();
    expect(await his.getByLabel('Invitation link').inputValue()).toMatch(/\/join#.+/);
    await his.keyboard.press('Escape');
    await his.getByRole('button', { name: 'Your account and settings' }).click();
    await his.locator('#account-menu').getByRole('button', { name: 'Invite people' }).waitFor();
    await his.context().close();
  });

  test('open: the page to sign in leads to an account of one’s own', async () => {
    await restart({ PARLEY_SIGNUP: 'open' });
    const dora = await (await context(browser, { ...phone, colorScheme: 'dark' })).newPage();
    await dora.goto(`${parley.url}/`);
    await dora.getByRole('link', { name: 'Make an account' }).waitFor();
    await shoot(dora, 'signin-open-phone-dark');
    await dora.getByRole('link', { name: 'Make an account' }).click();
    await dora.getByRole('heading', { name: 'Make an account' }).waitFor();
    expect(new URL(dora.url()).pathname).toBe('/join');
    await shoot(dora, 'signup-phone-dark');
    await dora.getByLabel('Your name').fill('Dora Maar');
    await dora.getByLabel('Password', { exact: true }).fill('a weeping woman');
    await dora.getByRole('button', { name: 'Create account' }).click();
    await dora.getByRole('heading', { name: 'Welcome, Dora Maar' }).waitFor();
    await dora.context().close();
  });

  test('closed: it is said who makes the accounts', async () => {
    await restart({ PARLEY_SIGNUP: 'closed' });
    const eve = await (await context(browser)).newPage();
    await eve.goto(`${parley.url}/`);
    await eve.getByText('No account yet? Ask whoever runs this Parley for one.').waitFor();
    await shoot(eve, 'signin-closed-light');
    for (const link of ['join', 'join#a-code-of-before']) {
      await eve.goto('about:blank');
      await eve.goto(`${parley.url}/${link}`);
      await eve.getByRole('heading', { name: 'Accounts are made for you here' }).waitFor();
      expect(await eve.getByLabel('Your name').count()).toBe(0);
    }
    await shoot(eve, 'join-closed-light');
    await eve.context().close();
    // Nor can anybody invite.
    const hers = await signedIn(browser, parley, ada);
    await hers.getByRole('button', { name: 'Your account and settings' }).click();
    await hers.getByRole('button', { name: 'Keyboard shortcuts' }).waitFor();
    expect(await invite(hers).count()).toBe(0);
    await hers.context().close();
  });

  test('the page to sign in does not wait to be told who can sign up', async () => {
    const slow = await (await context(browser)).newPage();
    await slow.route('**/api/v1/signup', () => {}); // never answered
    await slow.goto(`${parley.url}/`);
    const button = slow.getByRole('button', { name: 'Sign in' });
    await button.waitFor();
    const top = (await button.boundingBox())!.y;
    expect(await slow.getByText('No account yet?').isVisible()).toBe(false);
    await slow.unrouteAll();
    await slow.reload();
    await slow.getByText('No account yet?').waitFor();
    expect((await button.boundingBox())!.y).toBe(top);
    await slow.context().close();
  });
});
