import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { context, launch, launchOwn, shoot, signIn } from './browser';
import { Parley } from './parley';
import { admin, direct, member, type Account } from './people';

// The interface while the server is away, after an update, and with proxies in between.
describe('the offline shell', () => {
  let parley: Parley;
  let browser: Browser;
  let ada: Account;
  let id = '';
  let c: BrowserContext;
  let page: Page;
  let proxy: Server;
  /** Where the proxy is. */
  let url = '';
  /** What the proxy does: nothing, or it answers by itself, or changes what comes. */
  let answers: ((q: IncomingMessage, r: ServerResponse) => boolean) | undefined;
  let changes: ((path: string, body: string) => string) | undefined;

  beforeAll(async () => {
    [parley, browser] = await Promise.all([Parley.start({ basePath: '/chat' }), launch()]);
    ada = await admin(parley, 'Ada Lovelace');
    id = await direct(parley, ada, await member(parley, ada, 'Ben Okri'));
    const { host, hostname, port } = new URL(parley.url);
    proxy = createServer((q, r) => {
      if (answers?.(q, r)) return;
      const { 'accept-encoding': _, 'if-none-match': __, ...headers } = q.headers;
      q.pipe(
        request({ hostname, port, path: q.url, method: q.method, headers: { ...headers, host, origin: new URL(parley.url).origin } }, (a) => {
          const chunks: Buffer[] = [];
          a.on('data', (d: Buffer) => chunks.push(d)).on('end', () => {
            let body = Buffer.concat(chunks);
            if (changes) body = Buffer.from(changes(q.url!, body.toString('latin1')), 'latin1');
            const { 'content-length': ___, etag: ____, ...rest } = a.headers;
            r.writeHead(a.statusCode!, rest).end(body);
          });
        }).on('error', () => r.destroy()),
      );
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/chat`;
    c = await context(browser);
    page = await c.newPage();
    await page.goto(`${url}/`);
    await signIn(page, ada);
    await page.evaluate(() => navigator.serviceWorker.ready);
  });

  afterAll(async () => {
    await browser?.close();
    proxy?.closeAllConnections();
    proxy?.close();
    await parley?.remove();
  });

  /** What is kept, by cache. */
  const kept = (): Promise<Record<string, string[]>> =>
    page.evaluate(async () => {
      const all: Record<string, string[]> = {};
      for (const name of await caches.keys()) all[name] = (await (await caches.open(name)).keys()).map((r) => new URL(r.url).pathname);
      return all;
    });
  const name = async (): Promise<string[]> => Object.keys(await kept());
  /** Looks for a newer worker; gives what became of it. */
  const update = async (): Promise<string> =>
    page.evaluate(async () => {
      const r = await navigator.serviceWorker.ready;
      await r.update();
      const fresh = r.installing ?? r.waiting;
      if (!fresh) return 'none';
      return new Promise<string>((resolve) => {
        const look = (): void => {
          if (fresh.state === 'activated' || fresh.state === 'redundant') resolve(fresh.state);
        };
        fresh.addEventListener('statechange', look);
        look();
      });
    });
  const away = 'Parley cannot be reached';

  test('holds the page and all that it loads, and nothing of the API', async () => {
    await page.goto(`${url}/c/${id}`);
    await page.getByRole('textbox', { name: 'Message to Ben Okri' }).waitFor();
    const [[name, paths], ...others] = Object.entries(await kept()) as [[string, string[]]];
    expect(others).toEqual([]);
    expect(name).toMatch(/^parley:\/chat\/:/);
    expect(paths).toContain('/chat/');
    expect(paths.filter((p) => !/^\/chat\/(assets\/[^/]+\.(js|css))?$/.test(p))).toEqual([]);
    expect(paths.some((p) => p.includes('Settings'))).toBe(true);
  });

  test('the page is there while the server is not, at whatever address', async () => {
    await parley.down();
    for (const where of ['/', `/c/${id}`, '/settings']) {
      await page.goto(`${url}${where}`);
      await page.getByRole('heading', { name: away }).waitFor();
    }
    await shoot(page, 'shell-away');
    // Other pages of the server are its own.
    await expect(page.goto(`${url}/api/docs`)).rejects.toThrow();
    await parley.up();
    await page.goto(`${url}/c/${id}`);
    await page.getByRole('textbox', { name: 'Message to Ben Okri' }).waitFor();
  });

  test('and while a proxy says that the server is away, or does not answer', async () => {
    answers = (_, r) => {
      r.writeHead(502).end('Bad gateway');
      return true;
    };
    await page.goto(`${url}/`);
    await page.getByRole('heading', { name: away }).waitFor();
    const waiting: ServerResponse[] = [];
    answers = (_, r) => waiting.push(r) > 0;
    await page.goto(`${url}/settings`);
    // The page is here; what it asks the server for is not.
    await page.getByText('Loading…').waitFor();
    answers = undefined;
    for (const r of waiting) r.destroy();
  });

  test('the server’s own page is the one that is shown, whatever is kept', async () => {
    changes = (path, body) => (path === '/chat/' ? body.replace('<title>', '<meta name="newer"><title>') : body);
    await page.goto(`${url}/`);
    expect(await page.locator('meta[name=newer]').count()).toBe(1);
    changes = undefined;
    // Without what was kept it works as well.
    await page.evaluate(async () => {
      for (const name of await caches.keys()) await caches.delete(name);
    });
    await page.goto(`${url}/c/${id}`);
    await page.getByRole('textbox', { name: 'Message to Ben Okri' }).waitFor();
  });

  test('a new version takes over, and what the old one kept goes', async () => {
    const newer = (to: string) => (path: string, body: string) => (path === '/chat/sw.js' ? body.replace(/(`parley:[^;]*?\+`)[0-9a-f]{12}`|([0-9a-f]{12})(?=`)/, (all) => all.replace(/[0-9a-f]{12}/, to)) : body);
    changes = newer('aaaaaaaaaaaa');
    expect(await update()).toBe('activated');
    expect(await name()).toEqual(['parley:/chat/:aaaaaaaaaaaa']);

    // One that comes in pieces is not taken: a changed file, a proxy's page, another build's page.
    for (const [i, wrong] of [
      (path: string, body: string) => (path === '/chat/sw.js' ? body.replace(/sha256-[^`]+/, `sha256-${'A'.repeat(43)}=`) : body),
      (path: string, body: string) => (path === '/chat/' ? '<h1>Sign in to the network</h1>' : body),
    ].entries()) {
      const next = newer(`bbbbbbbbbbb${i}`);
      changes = (path, body) => wrong(path, next(path, body));
      expect(await update()).toBe('redundant');
      expect(await name()).toEqual(['parley:/chat/:aaaaaaaaaaaa']);
    }
    changes = newer('cccccccccccc');
    expect(await update()).toBe('activated');
    expect(await name()).toEqual(['parley:/chat/:cccccccccccc']);
    changes = undefined;
    await page.goto(`${url}/c/${id}`);
    await page.getByRole('textbox', { name: 'Message to Ben Okri' }).waitFor();
  });

  test('it can be installed', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'parley-profile-'));
    const own = await launchOwn(dir);
    try {
      const p = await own.newPage();
      await p.goto(`${parley.url}/`);
      const devtools = await own.newCDPSession(p);
      const { url, errors, manifest } = (await devtools.send('Page.getAppManifest')) as { url: string; errors: unknown[]; manifest?: { startUrl?: string; scope?: string } };
      expect({ url, errors }).toEqual({ url: `${parley.url}/manifest.webmanifest`, errors: [] });
      expect(manifest).toMatchObject({ startUrl: `${parley.url}/`, scope: `${parley.url}/` });
      expect(await devtools.send('Page.getInstallabilityErrors')).toEqual({ installabilityErrors: [] });
      for (const icon of ['192', '512', 'maskable', 'apple', 'badge']) {
        const answer = await fetch(`${parley.url}/icons/${icon}.png`);
        expect(answer.headers.get('content-type')).toBe('image/png');
      }
    } finally {
      await own.close();
      await rm(dir, { recursive: true, force: true });
    }
  });
});
