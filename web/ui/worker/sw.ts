// The service worker: shows what is pushed while no page is open, and has the interface ready
// when the server cannot be reached. Of the API it uses nothing but what another address of
// this browser takes, and keeps nothing.

import { close, payloadOf, placeOf, present, show, type Payload } from './payload';

declare const self: ServiceWorkerGlobalScope;
/** The interface's scripts and styles with their hashes, by path; the build puts them here. */
declare const FILES: Record<string, string>;
/** What index.html of this build loads first, and a name that no other build has. */
declare const ENTRY: string;
declare const VERSION: string;

const scope = self.registration.scope;
const here = new URL(scope);
/** Several Parleys may share an origin. */
const caches_ = `parley:${here.pathname}:`;
const cacheName = caches_ + VERSION;
const urlOf = (path: string): string => new URL(path, scope).href;

/** So long, in milliseconds, a page is waited for when there is one in the cache. */
const patience = 5_000;
/** So long, in milliseconds, a page has to answer. */
const ackTimeout = 1_000;

// Offline shell. What the worker has stands in for what does not come, and for nothing else:
// whatever is wrong with it, a page that can be loaded is loaded from the server.

self.addEventListener('install', (e) => {
  e.waitUntil(fill().then(() => self.skipWaiting()));
});

/** Fetches this build whole; if anything is not what it should be, the worker before this one stays. */
async function fill(): Promise<void> {
  const cache = await caches.open(cacheName);
  try {
    const page = await fetch(scope, { cache: 'no-cache' });
    // Not the page of a proxy that wants one to sign in, nor that of another build.
    if (!page.ok || page.redirected || !(await page.clone().text()).includes(ENTRY)) throw new Error('this is another page');
    await Promise.all(
      Object.entries(FILES).map(async ([path, integrity]) => {
        const file = await fetch(urlOf(path), { integrity });
        if (!file.ok) throw new Error(`${path}: ${file.status}`);
        await cache.put(urlOf(path), file);
      }),
    );
    await cache.put(scope, page);
  } catch (err) {
    await caches.delete(cacheName);
    throw err;
  }
}

self.addEventListener('activate', (e) => {
  e.waitUntil(
    (async () => {
      const names = await caches.keys();
      await Promise.all(names.filter((n) => n.startsWith(caches_) && n !== cacheName).map((n) => caches.delete(n)));
      await self.registration.navigationPreload?.enable(); // the page is on its way while the worker starts
      await self.clients.claim();
    })(),
  );
});

const kept = async (url: string): Promise<Response | undefined> => {
  try {
    return await (await caches.open(cacheName)).match(url);
  } catch {
    return undefined; // a broken cache is an empty one
  }
};

self.addEventListener('fetch', (e) => {
  const { request } = e;
  if (request.method !== 'GET' || !request.url.startsWith(scope)) return;
  const path = new URL(request.url).pathname.slice(here.pathname.length);
  if (request.mode === 'navigate') {
    // What the server answers with index.html.
    if (!path.startsWith('api/') && !/\.[^/]*$/.test(path)) e.respondWith(page(e));
  } else if (path in FILES) {
    e.respondWith(kept(request.url).then((file) => file ?? fetch(request)));
  }
});

/** The page from the server; from the cache if none comes, or a proxy says that it is away. */
async function page(e: FetchEvent): Promise<Response> {
  const network = (async () => ((await e.preloadResponse) as Response | undefined) ?? fetch(e.request))();
  const instead = await kept(scope);
  if (!instead) return network;
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<Response>((resolve) => (timer = setTimeout(() => resolve(instead), patience)));
  const soon = network.then(
    (answer) => ([502, 503, 504].includes(answer.status) ? instead : answer),
    () => instead,
  );
  return Promise.race([soon, late]).finally(() => clearTimeout(timer));
}

// Notifications.

self.addEventListener('push', (e) => e.waitUntil(pushed(payloadOf(e.data?.text()))));

/**
 * Every push shows something, also when somebody looks at the conversation: Safari takes the
 * subscription away otherwise. A page that is open may not have the message, because it is cut
 * off; or it has it and nobody has read it, which the server tells all devices of a minute
 * later. What a page has shown by itself stays as it is, or comes back without a sound if
 * somebody has put it away. Nor does it make one where somebody looks, and the page, told of
 * it, connects and closes it as soon as the message is read.
 */
async function pushed(p: Payload): Promise<void> {
  const windows = await pages();
  const place = placeOf(p);
  const watched = p.conversation_id !== undefined && windows.some((w) => w.focused && within(w.url, place));
  const answers = p.seq === undefined ? [] : await Promise.all(windows.map((w) => asked(w, { announced: p })));
  await present(self.registration, p.tag, (shown) => show(p, shown, watched || answers.includes(true)));
  // What the server does not know to be shown may be newer than what it knows to be read.
  for (const tag of p.read ?? []) await close(self.registration, ({ page }) => windows.length === 0 || !page, tag);
  if (p.type !== 'test') await badge(p.unread);
  for (const w of windows) w.postMessage({ pushed: p.tag });
}

/** The windows that show Parley, the one used last first. */
async function pages(): Promise<WindowClient[]> {
  const all = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  return all.filter((w) => w.url.startsWith(scope));
}

async function badge(unread: number): Promise<void> {
  try {
    await (unread > 0 ? navigator.setAppBadge(unread) : navigator.clearAppBadge());
  } catch {
    // There is none, or it is not for us.
  }
}

const within = (url: string, place: string): boolean => {
  const { origin, pathname } = new URL(url);
  const path = origin + pathname;
  return path === urlOf(place) || path.startsWith(`${urlOf(place)}/`);
};

self.addEventListener('notificationclick', (e) => {
  e.notification.close();
  e.waitUntil(go(placeOf(e.notification.data as Payload | null)));
});

/** Leads to a place in the window that shows it, or the one used last, or a new one. */
async function go(place: string): Promise<void> {
  const windows = await pages();
  const window = windows.find((w) => place !== '' && within(w.url, place)) ?? windows[0];
  if (!window) {
    await self.clients.openWindow(urlOf(place));
    return;
  }
  void window.focus().catch(() => {}); // the system may not let us, or not answer
  // Without loading anything, if the page is alive and well.
  if ((await asked(window, { go: place })) === undefined) {
    await window.navigate(urlOf(place)).catch(() => self.clients.openWindow(urlOf(place)));
  }
}

/** Asks a page, or tells it where to go. Undefined: it does not answer. */
function asked(window: WindowClient, what: { go: string } | { announced: Payload }): Promise<unknown> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = (e) => resolve(e.data);
    setTimeout(() => resolve(undefined), ackTimeout);
    window.postMessage(what, [port2]);
  });
}

// The browser gave another address: the server has to know it, page or no page.
self.addEventListener('pushsubscriptionchange', (e) => {
  const { oldSubscription, newSubscription } = e as Event & { oldSubscription?: PushSubscription; newSubscription?: PushSubscription };
  (e as ExtendableEvent).waitUntil(moved(oldSubscription, newSubscription));
});

/**
 * Registers the new address for whoever is signed in, if it is they who are told of messages
 * here: somebody else may have turned it on and left. Rejects if it cannot be; then the page
 * does it at its next start.
 */
async function moved(was?: PushSubscription, is?: PushSubscription): Promise<void> {
  const key = was?.options.applicationServerKey;
  const { pushManager } = self.registration;
  const subscription =
    is ?? (await pushManager.getSubscription()) ?? (key ? await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }) : null);
  if (!subscription) return; // for the page as well
  const { devices } = (await (await ask('GET')).json()) as { devices: { kind: string; current: boolean }[] };
  if (!devices.some((d) => d.current && d.kind === 'webpush')) return;
  await ask('POST', { kind: 'webpush', subscription });
}

/** Asks the server for or about devices; rejects unless it agrees. */
async function ask(method: string, body?: object): Promise<Response> {
  const init: RequestInit = body ? { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) } : { method };
  const answer = await fetch(urlOf('api/v1/devices'), init);
  if (!answer.ok) throw new Error(`${method} devices: ${answer.status}`);
  return answer;
}
