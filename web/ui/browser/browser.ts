import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import axe from 'axe-core';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type LaunchOptions, type Page } from 'playwright-core';
import { expect } from 'vitest';
import type { Parley } from './parley';
import type { Account } from './people';

// Debian's Chromium; every context is a fresh profile.

const executablePath =
  process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

const screenshots = path.resolve(import.meta.dirname, '../screenshots');

export const phone: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};

const options = (env: Record<string, string>): LaunchOptions => {
  if (!executablePath) throw new Error('There is no Chromium; name one in CHROMIUM.');
  return {
    executablePath,
    env: { ...process.env, ...env },
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  };
};

export const launch = async (): Promise<Browser> => chromium.launch(options({}));

/**
 * A browser with a profile that is kept in a folder, which is no private window: pages can be
 * installed in it, and a click on a notification reaches it.
 */
export const launchOwn = async (dir: string, env: Record<string, string> = {}): Promise<BrowserContext> =>
  listen(await chromium.launchPersistentContext(dir, { ...usual, ...options(env) }));

const usual: BrowserContextOptions = { viewport: { width: 1280, height: 800 }, locale: 'en-GB', reducedMotion: 'reduce' };

/** What a page complained about: errors nobody caught, refusals by the security policy. */
const complaints = new WeakMap<BrowserContext, string[]>();

export const context = async (browser: Browser, o: BrowserContextOptions = {}): Promise<BrowserContext> =>
  listen(await browser.newContext({ ...usual, ...o }));

function listen(c: BrowserContext): BrowserContext {
  const list: string[] = [];
  complaints.set(c, list);
  c.setDefaultTimeout(30_000);
  c.on('weberror', (e) => list.push(String(e.error())));
  c.on('console', (m) => {
    // Failed requests are logged by the browser itself; the page says them in words.
    if (m.type() === 'error' && !/Failed to load resource|WebSocket connection|ERR_/.test(m.text())) list.push(m.text());
  });
  return c;
}

export const complaintsOf = (c: BrowserContext): string[] => complaints.get(c) ?? [];

/** A page of somebody who has just signed in. */
export async function signedIn(browser: Browser, parley: Pick<Parley, 'url'>, who: Account, o: BrowserContextOptions = {}): Promise<Page> {
  const page = await (await context(browser, o)).newPage();
  await page.goto(`${parley.url}/`);
  await signIn(page, who);
  return page;
}

export async function signIn(page: Page, who: Account): Promise<void> {
  await page.getByLabel('Username').fill(who.username);
  await page.getByLabel('Password', { exact: true }).fill(who.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Your account and settings' }).waitFor();
}

export async function shoot(page: Page, name: string): Promise<void> {
  await mkdir(screenshots, { recursive: true });
  await page.screenshot({ path: path.join(screenshots, `${name}.png`) });
}

/** Axe finds nothing wrong with what a page shows. */
export async function clean(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: typeof axe }).axe.run();
    return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`);
  });
  expect(found).toEqual([]);
}

/** Puts a page into the background, or another window before it. */
export const look = (page: Page, o: { visible: boolean; focused: boolean }): Promise<void> =>
  page.evaluate(({ visible, focused }) => {
    Object.defineProperty(document, 'visibilityState', { value: visible ? 'visible' : 'hidden', configurable: true });
    document.hasFocus = () => focused;
    document.dispatchEvent(new Event('visibilitychange'));
    dispatchEvent(new Event(focused ? 'focus' : 'blur'));
  }, o);

/** The texts of the messages shown, in order, line by line as the page has them. */
export const texts = (page: Page): Promise<string[]> => page.locator('[role=log] [role=article] .text').evaluateAll((all) =>
    all.map((e) => {
      // In its place: outside of the page a text has no lines.
      const meta = e.querySelector<HTMLElement>('.meta');
      if (meta) meta.style.display = 'none';
      const text = (e as HTMLElement).innerText.trim();
      if (meta) meta.style.display = '';
      return text;
    }),
  );

export const box = (page: Page, name: string) => page.getByRole('textbox', { name: `Message to ${name}` });

export async function write(page: Page, name: string, text: string): Promise<void> {
  await box(page, name).fill(text);
  await box(page, name).press('Enter');
}
