import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clean, complaintsOf, launch, phone, shoot, signedIn } from './browser';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

// A message is reported to the admins, who are not in the conversation.
describe('reports', () => {
  let parley: Parley;
  let browser: Browser;
  let root: Account;
  let ann: Account;
  let ben: Account;
  let id: string;
  let reporter: Page;
  let queue: Page;

  const say = async (from: Account, body: string): Promise<number> =>
    (await api<{ seq: number }>(parley, from.token, 'POST', `conversations/${id}/messages`, { client_id: crypto.randomUUID(), body })).seq;
  const menuOf = async (text: string): Promise<void> => {
    await reporter.getByRole('article').filter({ hasText: text }).hover();
    await reporter.getByRole('toolbar').getByRole('button', { name: 'More actions' }).click();
  };

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start({ basePath: '/chat' }), launch()]);
    root = await admin(parley, 'Ada Lovelace');
    ann = await member(parley, root, 'Ann Radcliffe');
    ben = await member(parley, root, 'Ben Okri');
    id = await direct(parley, ann, ben);
    await say(ben, 'Please stop writing about this.');
    await say(ann, 'Buy cheap watches at my shop!');
    await say(ann, 'Second offer');
    [reporter, queue] = await Promise.all([signedIn(browser, parley, ben), signedIn(browser, parley, root)]);
  });

  afterAll(async () => {
    for (const page of [reporter, queue]) expect(complaintsOf(page.context())).toEqual([]);
    await browser?.close();
    await parley?.remove();
  });

  test('an admin sees that nothing is reported', async () => {
    await queue.getByRole('button', { name: 'Your account and settings' }).click();
    await queue.getByRole('button', { name: 'Reports', exact: true }).click();
    await queue.getByRole('heading', { name: 'No open reports' }).waitFor();
    await expect.poll(() => queue.title()).toBe('Reports · Parley');
    await shoot(queue, 'reports-empty-light');
    await clean(queue);
  });

  test('a member reports a message of another member by keyboard, and none of their own', async () => {
    await reporter.goto(`${parley.url}/c/${id}`);
    await menuOf('Please stop');
    await reporter.getByRole('menuitem', { name: 'Copy text' }).waitFor();
    expect(await reporter.getByRole('menuitem', { name: 'Report' }).count()).toBe(0);
    await reporter.keyboard.press('Escape');
    await menuOf('cheap watches');
    await reporter.getByRole('menuitem', { name: 'Report' }).press('Enter');
    const dialog = reporter.getByRole('dialog', { name: 'Report message' });
    await dialog.getByRole('radio', { name: 'Spam' }).waitFor();
    await shoot(reporter, 'report-dialog-light');
    await clean(reporter);
    await dialog.getByRole('radio', { name: 'Spam' }).press('ArrowDown');
    await dialog.getByRole('textbox', { name: 'Comment' }).fill('She writes this every day.');
    await dialog.getByRole('button', { name: 'Send report' }).press('Enter');
    await dialog.getByText('Report sent').waitFor();
    await shoot(reporter, 'report-sent-light');
    await clean(reporter);
    await expect.poll(() => reporter.evaluate(() => document.activeElement?.textContent)).toBe('Done');
    await reporter.keyboard.press('Enter');
    await dialog.waitFor({ state: 'detached' });
  });

  test('the admin is shown it at once, with what was said around it', async () => {
    const card = queue.getByRole('article', { name: 'Ben Okri reported a message by Ann Radcliffe' });
    await card.getByText('Buy cheap watches at my shop!').waitFor();
    await card.getByText('Harassment').waitFor();
    await card.getByText('She writes this every day.').waitFor();
    expect(await card.getByRole('listitem').allInnerTexts()).toEqual([
      expect.stringContaining('Please stop'), expect.stringContaining('cheap watches'), expect.stringContaining('Second offer'),
    ]);
    await queue.getByRole('button', { name: 'Your account and settings, 1 open report' }).waitFor();
    await shoot(queue, 'reports-light');
    await clean(queue);
    const small = await signedIn(browser, parley, root, { ...phone, colorScheme: 'dark' });
    await small.goto(`${parley.url}/reports`);
    await small.getByRole('button', { name: 'Remove message' }).waitFor();
    await shoot(small, 'reports-phone-dark');
    await clean(small);
    await small.setViewportSize({ width: 320, height: 640 });
    expect(await small.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
    await small.getByRole('button', { name: 'Dismiss' }).scrollIntoViewIfNeeded();
    await shoot(small, 'reports-320-dark');
    await small.context().close();
  });

  test('the removed message is a tombstone that says by whom, now and after a reload', async () => {
    const card = queue.getByRole('article', { name: /^Ben Okri reported/ });
    await card.getByRole('textbox', { name: 'Answer to Ben Okri' }).fill('Thanks for telling us.');
    await card.getByRole('button', { name: 'Remove message' }).click();
    await card.getByRole('button', { name: 'Cancel' }).waitFor();
    await shoot(queue, 'reports-ask-light');
    await clean(queue);
    await card.getByRole('button', { name: 'Remove message' }).click();
    await queue.getByRole('heading', { name: 'No open reports' }).waitFor();
    await queue.getByRole('button', { name: 'Closed' }).click();
    await queue.getByText(/Message removed by Ada Lovelace/).waitFor();
    await shoot(queue, 'reports-closed-light');
    await clean(queue);
    expect(await queue.getByText('cheap watches').count()).toBe(0);

    await reporter.getByText('Removed by an administrator').waitFor();
    expect(await reporter.getByText('cheap watches').count()).toBe(0);
    await reporter.reload();
    await reporter.getByText('Removed by an administrator').waitFor();
    await shoot(reporter, 'report-tombstone-light');
  });

  test('the reporter finds the answer in the settings', async () => {
    await reporter.goto(`${parley.url}/settings`);
    await reporter.getByText('Thanks for telling us.').waitFor();
    await reporter.getByText(/^The message was removed/).waitFor();
    await reporter.getByRole('heading', { name: 'Your reports' }).scrollIntoViewIfNeeded();
    await shoot(reporter, 'report-own-light');
    await clean(reporter);
  });

  test('of two admins the second is told the decision of the first', async () => {
    const seq = await say(ann, 'Third offer');
    const { id: report } = await api<{ id: string }>(parley, ben.token, 'POST', `conversations/${id}/messages/${seq}/report`, { reason: 'spam' });
    await queue.getByRole('button', { name: /^Open/ }).click();
    const card = queue.getByRole('article', { name: /^Ben Okri reported/ });
    await card.getByText('Third offer').waitFor();
    // The other admin's page learns of nothing until it has asked.
    await queue.route('**/api/v1/reports/*', async (route) => {
      await api(parley, root.token, 'PATCH', `reports/${report}`, { decision: 'removed' });
      await route.continue();
    });
    await card.getByRole('button', { name: 'Dismiss' }).click();
    await queue.getByRole('heading', { name: 'No open reports' }).waitFor();
    await queue.unroute('**/api/v1/reports/*');
    await reporter.goto(`${parley.url}/c/${id}`);
    await expect.poll(() => reporter.getByText('Removed by an administrator').count()).toBeGreaterThan(1);
  });

  test('there is no such page for members', async () => {
    await reporter.goto(`${parley.url}/reports`);
    await reporter.getByRole('heading', { name: /There is nothing here|Page not found/ }).waitFor();
  });
});
