import { close, type Payload } from '../../worker/payload';
import { urlOf } from './base';
import { app } from './state/app.svelte';
import { router } from './router.svelte';
import { session } from './state/session.svelte';
import { alone, setTurnedOnBy } from './turned-on';

// The service worker, as far as every page has to do with it. Browsers have none for pages
// that came by plain http from another machine.

/** What the worker says. */
interface Said {
  /** Go there: a notification was clicked. */
  go?: string;
  /** Was this announced here? It was pushed just now. */
  announced?: Payload;
  /** The tag of what was just shown. */
  pushed?: string;
}

/** Browsers look right after a push whether something is shown: till then it stays, in milliseconds. */
const settle = 2_000;

const container = typeof navigator === 'undefined' ? undefined : navigator.serviceWorker;
let registered: Promise<ServiceWorkerRegistration | undefined> | undefined;

/** An address of a script is taken from nobody but this. */
function scriptURL(): string {
  const url = urlOf('sw.js');
  const types = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(s: string): unknown } } }).trustedTypes;
  if (!types) return url;
  return types.createPolicy('parley-worker', { createScriptURL: () => url }).createScriptURL('') as string;
}

/** Registers the worker, once. Undefined where there is none: the page does without. */
export function worker(): Promise<ServiceWorkerRegistration | undefined> {
  registered ??= (async () => {
    if (!container || import.meta.env.DEV) return undefined;
    try {
      return await container.register(scriptURL(), { updateViaCache: 'none' });
    } catch (err) {
      console.warn('registering the service worker', err);
      return undefined;
    }
  })();
  return registered;
}

/** Begins once the page has what it needs itself. */
export function beginWorker(): void {
  if (document.readyState === 'complete') void worker();
  else addEventListener('load', () => void worker(), { once: true });
  container?.addEventListener('message', (e) => {
    const said = e.data as Said;
    if (said.go !== undefined) {
      router.leave(said.go);
      e.ports[0]?.postMessage(null);
    } else if (said.announced) {
      e.ports[0]?.postMessage(app.live?.announcer.did(said.announced) ?? false);
    } else if (said.pushed !== undefined) {
      app.live?.wake(); // what it speaks of is not here yet, or was not told to be
      app.live?.announcer.listed(); // it may be deleted by now
      setTimeout(() => void tidy(), document.visibilityState === 'visible' ? 0 : settle);
    }
  });
}

/** Closes the notifications of what was read meanwhile, here or elsewhere; and all if nobody is signed in. */
export async function tidy(): Promise<void> {
  const registration = await container?.getRegistration();
  if (!registration?.getNotifications) return;
  await close(registration, ({ conversation_id, seq }) => {
    const read = app.live?.conversations.get(conversation_id ?? '')?.read_seq ?? -1;
    return session.status === 'anonymous' || (seq !== undefined && seq <= read);
  });
}

/** This browser is nobody's any more: nothing is to come here until somebody turns it on again. */
export async function forgetDevice(): Promise<void> {
  setTurnedOnBy(null);
  const registration = await container?.getRegistration();
  if (registration) await alone(async () => void (await (await registration.pushManager?.getSubscription())?.unsubscribe()));
}

/** A number on the app's icon, where the system has that. */
export function setBadge(unread: number): void {
  if (!('setAppBadge' in navigator)) return;
  (unread > 0 ? navigator.setAppBadge(unread) : navigator.clearAppBadge()).catch(() => {}); // not installed
}
