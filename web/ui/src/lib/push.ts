import { ApiError, asApiError } from './api/errors';
import { http } from './api/http';
import type { Device } from './api/types';
import { t } from './i18n';
import { alone, setTurnedOnBy, turnedOnBy, wanted } from './turned-on';
import { worker } from './worker';

// Whether this browser is told of messages while no page is open.

/**
 * What notifications are here: on, off, refused by the browser or by who uses it, or not
 * there: for want of https, of a place on the Home Screen (iOS), or at all.
 */
export type PushState = 'on' | 'off' | 'blocked' | 'insecure' | 'homeScreen' | 'unsupported';

/** So long, in milliseconds, the worker may take to start, and the browser's push service to answer. */
const startTimeout = 15_000;
const subscribeTimeout = 30_000;

/** An iPhone or iPad; the latter calls itself a Mac, which has no touch screen. */
export const onApple = (): boolean => /iPhone|iPad/.test(navigator.userAgent) || (/Macintosh/.test(navigator.userAgent) && navigator.maxTouchPoints > 1);

/** What stands in the way, if anything does. */
function obstacle(): PushState | null {
  if (!isSecureContext) return 'insecure';
  // On iOS only pages on the Home Screen have the rest.
  if (onApple() && !matchMedia('(display-mode: standalone)').matches) return 'homeScreen';
  if (!('serviceWorker' in navigator) || !('PushManager' in window) || !('Notification' in window)) return 'unsupported';
  return Notification.permission === 'denied' ? 'blocked' : null;
}

const subscription = async (): Promise<PushSubscription | null> => (await navigator.serviceWorker.getRegistration())?.pushManager.getSubscription() ?? null;

/**
 * How it is for somebody. Without a subscription it is off, also where one is wanted and could
 * not be had yet: then they are told of messages only while Parley is open.
 */
export async function pushState(me: string): Promise<PushState> {
  return obstacle() ?? (wanted(me) && (await subscription()) ? 'on' : 'off');
}

/** Tells when the browser's settings were changed, until the function it gives is called. */
export function whenPermitted(tell: () => void): () => void {
  const over = new AbortController();
  navigator.permissions
    ?.query({ name: 'notifications' })
    .then((status) => status.addEventListener('change', tell, { signal: over.signal }))
    .catch(() => {}); // not every browser tells
  return () => over.abort();
}

const within = <T>(promise: Promise<T>, ms: number, why: string): Promise<T> => {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new ApiError('conflict', why)), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

function bytesOf(base64url: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64url.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
}

const same = (a: ArrayBuffer | null, b: Uint8Array): boolean =>
  a !== null && a.byteLength === b.length && new Uint8Array(a).every((byte, i) => byte === b[i]);

/** What the server knows this browser as; usually one. */
const known = async (): Promise<Device[]> => (await http.devices()).filter((d) => d.current && d.kind === 'webpush');

async function remove(devices: Device[]): Promise<void> {
  for (const d of devices) {
    await http.removeDevice(d.id).catch((err: unknown) => {
      if (asApiError(err).code !== 'not_found') throw err;
    });
  }
}

/**
 * Subscribes with the server's key, which one that was restored from elsewhere may have
 * changed, and registers. A subscription that is there already is kept, unless it is to be a
 * new one.
 */
async function register(anew: boolean): Promise<Device> {
  const registration = await worker();
  if (!registration) throw new ApiError('conflict', t.push.noWorker);
  await within(navigator.serviceWorker.ready, startTimeout, t.push.noWorker);
  const key = bytesOf(await http.pushKey());
  const { pushManager } = registration;
  let is = await pushManager.getSubscription();
  if (is && (anew || !same(is.options.applicationServerKey, key))) {
    await is.unsubscribe();
    is = null;
  }
  try {
    is ??= await within(pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }), subscribeTimeout, t.push.noService);
  } catch (err) {
    if (err instanceof ApiError) throw err;
    console.warn('subscribing', err);
    throw new ApiError('conflict', t.push.noService);
  }
  return http.addDevice(is.toJSON());
}

/**
 * Asks for the permission, and registers; only from a click. The subscription of somebody else
 * is not taken over: what was sent to them may still be on its way to it.
 */
export async function turnOn(me: string): Promise<void> {
  const permission = await Notification.requestPermission(); // first: later it is not from the click any more
  if (permission !== 'granted') throw new ApiError('forbidden', permission === 'denied' ? t.push.denied : t.push.notAnswered);
  await alone(async () => {
    await register(turnedOnBy() !== me);
    setTurnedOnBy(me);
  });
}

export const turnOff = (): Promise<void> =>
  alone(async () => {
    await remove(await known());
    setTurnedOnBy(null); // or the next start would turn them on again
    await (await subscription())?.unsubscribe();
  });

/** A page gets a subscription in place of another one once: if that is ended as well, another would be. */
let replaced = false;

/**
 * Registers again what somebody turned on, at every start: the session or the address may be
 * another one, and the browser may have dropped the subscription. One that the push service
 * ended looks like any other here, but the server has removed its device: there is to be a new
 * one. What somebody else left is taken away.
 */
export const renew = (me: string): Promise<void> =>
  alone(async () => {
    if (obstacle()) return;
    if (!wanted(me)) {
      await (await subscription())?.unsubscribe();
      return;
    }
    const before = await known();
    const anew = before.length === 0 && !replaced;
    const { id } = await register(anew);
    replaced ||= anew;
    // A browser has one subscription: the others are dead ones.
    await remove(before.filter((d) => d.id !== id));
  });
