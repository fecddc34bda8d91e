// The service worker: shows what is pushed while no page is open, and has the interface ready
// when the server cannot be reached. Of the API it uses nothing but what another address of
// this browser takes, and keeps nothing.

import { payloadOf, placeOf, show, type Payload } from './payload';

declare const self: ServiceWorkerGlobalScope;
/** The interface's scripts and styles with their hashes, by path; the build puts them here. */
declare const FILES: Record<string, string>;
/** What index.html of this build loads first, and a name that no other build has. */
declare const ENTRY: string;
declare const VERSION: string;

/** Not all of what TypeScript knows of workers is there yet. */
type Shown = NotificationOptions & { renotify?: boolean; timestamp?: number };

const scope = self.registration.scope;
const here = new URL(scope);
/** Several Parleys may share an origin. */
const caches_ = `parley:${here.pathname}:`;
const cacheName = caches_ + VERSION;
const urlOf = (path: string): string => new URL(path, scope).href;

/** So long, in milliseconds, a page is waited for when there is one in the cache. */
const patience = 5_000;
/** So long, in milliseconds, a page has to say that it went where it was sent. */
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
 * subscription away otherwise, and a page that has the message would not have been owed the
 * push: it is cut off, or about to be told. There it makes no sound, and the page, told of it,
 * connects and closes it as soon as the message is read.
 */
async function pushed(p: Payload): Promise<void> {
  const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const place = placeOf(p);
  const watched = p.conversation_id !== undefined && windows.some((w) => w.focused && within(w.url, place));
  const [old] = await self.registration.getNotifications({ tag: p.tag });
  const { payload, again } = show(p, old?.data as Payload | undefined, watched);
  const options: Shown = {
    body: payload.body,
    tag: payload.tag,
    icon: urlOf('icons/192.png'),
    badge: urlOf('icons/badge.png'),
    renotify: again,
    silent: !again,
    data: payload,
    ...(payload.at ? { timestamp: Date.parse(payload.at) } : {}),
  };
  await self.registration.showNotification(payload.title, options);
  for (const tag of p.read ?? []) {
    for (const n of await self.registration.getNotifications({ tag })) n.close();
  }
  if (p.type !== 'test') await badge(p.unread);
  for (const w of windows) w.postMessage({ pushed: payload.tag });
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
  const all = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const windows = all.filter((w) => w.url.startsWith(scope));
  const window = windows.find((w) => place !== '' && within(w.url, place)) ?? windows[0];
  if (!window) {
    await self.clients.openWindow(urlOf(place));
    return;
  }
  void window.focus().catch(() => {}); // the system may not let us, or not answer
  // Without loading anything, if the page is alive and well.
  if (!(await sent(window, place))) {
    await window.navigate(urlOf(place)).catch(() => self.clients.openWindow(urlOf(place)));
  }
}

/** Tells a page where to go. False: it does not answer. */
function sent(window: WindowClient, place: string): Promise<boolean> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => resolve(true);
    setTimeout(() => resolve(false), ackTimeout);
    window.postMessage({ go: place }, [port2]);
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
