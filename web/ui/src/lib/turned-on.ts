import { storageName } from './base';

// Who wants notifications in this browser: another person who signs in here later may not.

const key = storageName('push');

export function turnedOnBy(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // forbidden by the browser's settings
  }
}

/** Keeps that somebody turned them on; null: nobody did, or whoever did does not want them any more. */
export function setTurnedOnBy(who: string | null): void {
  if (who !== null) localStorage.setItem(key, who);
  else if (turnedOnBy() !== null) localStorage.removeItem(key);
}

/** Does somebody want them here, and may they be shown? */
export const wanted = (who: string): boolean => 'Notification' in globalThis && Notification.permission === 'granted' && turnedOnBy() === who;

/**
 * Does one thing at a time with this browser's subscription, in all tabs: what sees one half
 * done would take it for what somebody else left.
 */
export const alone = <T>(f: () => Promise<T>): Promise<T> => navigator.locks.request(storageName('subscription'), f) as Promise<T>;
