import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { box, clean, context, launch, phone, shoot, signedIn } from './browser';
import { Parley } from './parley';
import { admin, direct, member, say, type Account } from './people';

// What no screenshot shows: that everybody can use it, and how soon.
describe('quality', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let page: Page;
  let id = '';

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start(), launch()]);
    const setupLink = parley.setupLink;
    ada = await admin(parley, 'Ada Lovelace');
    const ben = await member(parley, ada, 'Ben Okri');
    id = await direct(parley, ada, ben);
    const side = await (await context(browser)).newPage();
    await side.goto(setupLink);
    const bodies = Array.from({ length: 60 }, (_, i) => (i % 9 ? `Message ${i} with a few words in it` : '**Bold**, `code`, https://example.org\n> quoted\n\n```\na block\n```\n- a\n- b'));
    await say(side, ben, id, bodies);
    await side.context().close();
    page = await signedIn(browser, parley, ada);
  });

  afterAll(async () => {
    await browser?.close();
    await parley?.remove();
  });

  test.each(['light', 'dark'] as const)('axe finds nothing, %s', async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    await page.goto(`${parley.url}/`);
    await page.getByRole('navigation').getByRole('link').first().waitFor();
    await clean(page);
    await page.goto(`${parley.url}/c/${id}`);
    await page.getByRole('log').getByText('Message 59').waitFor();
    await clean(page);
    for (const show of ['find', 'invite', 'shortcuts']) {
      await page.goto(`${parley.url}/c/${id}?show=${show}`);
      await page.getByRole('dialog').waitFor();
      await clean(page);
    }
    await page.goto(`${parley.url}/settings`);
    await page.getByText('This browser', { exact: true }).waitFor();
    await clean(page);
    const stranger = await (await context(browser, { colorScheme })).newPage();
    for (const place of ['signin', 'setup#token', 'join#code', 'join']) {
      await stranger.goto(`${parley.url}/${place}`);
      await stranger.getByRole('heading').first().waitFor();
      await clean(stranger);
    }
    await stranger.context().close();
  });

  test('from right to left everything is mirrored, and what people wrote is not', async () => {
    await page.goto(`${parley.url}/c/${id}`);
    await box(page, 'Ben Okri').fill('مرحبا **بن**');
    await box(page, 'Ben Okri').press('Enter');
    await page.getByRole('log').getByText('مرحبا').waitFor();
    await page.evaluate(() => (document.documentElement.dir = 'rtl'));
    await shoot(page, 'right-to-left');
    const left = (selector: string): Promise<number> => page.locator(selector).last().evaluate((e) => e.getBoundingClientRect().left);
    expect(await left('.sidebar')).toBeGreaterThan(await left('main'));
    expect(await left('.row.mine .bubble')).toBeLessThan(await left('.row:not(.mine, .event) .bubble'));
    const directions = await page.locator('[role=log] .text [dir=auto]').evaluateAll((all) => all.slice(-2).map((e) => getComputedStyle(e).direction));
    expect(directions).toEqual(['ltr', 'rtl']);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  });

  test('a phone on a slow line shows the conversation soon, without jumps, in a few requests', async () => {
    const c = await context(browser, { ...phone, storageState: await page.context().storageState() });
    const small = await c.newPage();
    const devtools = await c.newCDPSession(small);
    await devtools.send('Network.enable');
    await devtools.send('Network.emulateNetworkConditions', { offline: false, latency: 100, downloadThroughput: 9e6 / 8, uploadThroughput: 9e6 / 8 });
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    const requests: string[] = [];
    small.on('request', (r) => requests.push(new URL(r.url()).pathname));
    small.on('websocket', (w) => requests.push(new URL(w.url()).pathname));
    await small.addInitScript(() => {
      const w = window as unknown as { lcp: number; cls: number };
      w.lcp = w.cls = 0;
      new PerformanceObserver((l) => (w.lcp = l.getEntries().at(-1)!.startTime)).observe({ type: 'largest-contentful-paint', buffered: true });
      new PerformanceObserver((l) => {
        for (const e of l.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) if (!e.hadRecentInput) w.cls += e.value;
      }).observe({ type: 'layout-shift', buffered: true });
    });
    await small.goto(`${parley.url}/c/${id}`);
    await small.getByRole('log').getByText('Message 59').waitFor();
    await box(small, 'Ben Okri').waitFor();
    const usable = await small.evaluate(() => performance.now());
    const { lcp, cls } = await small.evaluate(() => {
      const w = window as unknown as { lcp: number; cls: number };
      return { lcp: w.lcp, cls: w.cls };
    });
    console.log(`usable ${usable.toFixed(0)} ms, LCP ${lcp.toFixed(0)} ms, CLS ${cls.toFixed(3)}, ${requests.length} requests: ${requests.join(' ')}`);
    expect(requests.length).toBeLessThanOrEqual(10);
    expect(cls).toBeLessThanOrEqual(0.05);
    // The cap is 2.0 s on a machine that does nothing else.
    expect(lcp).toBeLessThan(4000);
    await c.close();
  });

  test('what is typed is painted at once', async () => {
    await page.goto(`${parley.url}/c/${id}`);
    await box(page, 'Ben Okri').waitFor();
    await page.getByRole('log').getByText('Message 59').waitFor();
    // From the key to the frame after the one that shows it.
    const times = await page.evaluate(async () => {
      const input = document.querySelector('textarea')!;
      const times: number[] = [];
      for (let i = 0; i < 40; i++) {
        await new Promise(requestAnimationFrame);
        const start = performance.now();
        input.value += 'a';
        input.dispatchEvent(new InputEvent('input', { bubbles: true }));
        await Promise.resolve();
        void input.offsetHeight;
        times.push(performance.now() - start);
      }
      input.value = '';
      input.dispatchEvent(new InputEvent('input', { bubbles: true }));
      return times.sort((a, b) => a - b);
    });
    console.log(`key to layout: median ${times[20]!.toFixed(1)} ms, worst ${times.at(-1)!.toFixed(1)} ms`);
    expect(times[20]).toBeLessThan(8);
  });
});
