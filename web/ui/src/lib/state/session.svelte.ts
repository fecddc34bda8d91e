import { asApiError, type ApiError } from '../api/errors';
import { http, type Person } from '../api/http';
import type { User } from '../api/types';
import { storageName } from '../base';

/** Who is signed in, as far as this page knows. */
type Status = 'unknown' | 'unreachable' | 'anonymous' | 'signed_in';

/** Why nobody is signed in any more. */
export type EndedBy = 'self' | 'elsewhere';

const wasHere = storageName('signed-in');

/** Does something with the storage, if the browser lets us. */
function keep<T>(f: (s: Storage) => T): T | undefined {
  try {
    return f(localStorage);
  } catch {
    return undefined;
  }
}

class Session {
  status = $state<Status>('unknown');
  me = $state<User | null>(null);
  endedBy = $state<EndedBy | null>(null);

  /** All tabs share a cookie: who signs in in one is signed in in all. */
  #tabs = new BroadcastChannel(storageName('session'));

  constructor() {
    this.#tabs.onmessage = () => void this.check();
  }

  /** Finds out who is signed in. */
  async check(): Promise<void> {
    try {
      this.#begin(await http.me());
    } catch (err) {
      if (asApiError(err).code === 'unauthenticated') this.#end(this.status === 'signed_in' ? 'elsewhere' : this.endedBy);
      else if (this.status === 'unknown') this.status = 'unreachable';
    }
  }

  async signIn(username: string, password: string): Promise<void> {
    this.#changed((await http.signIn(username, password)).user);
  }

  async setUp(token: string, person: Person): Promise<void> {
    this.#changed((await http.setUp(token, person)).user);
  }

  async signUp(invite: string, person: Person): Promise<void> {
    this.#changed((await http.signUp(invite, person)).user);
  }

  async signOut(): Promise<void> {
    try {
      await http.signOut();
    } catch (err) {
      const e: ApiError = asApiError(err);
      if (e.code !== 'unauthenticated') throw e; // it is over already
    }
    this.#end('self');
  }

  /** The server says that the session is over. */
  ended(): void {
    if (this.status === 'signed_in') this.#end('elsewhere');
  }

  async rename(displayName: string): Promise<void> {
    this.me = await http.rename(displayName);
  }

  #changed(user: User): void {
    this.#begin(user);
    this.#tabs.postMessage(null);
  }

  /** Was somebody signed in when this browser was here last? Only a guess, to save time. */
  get likely(): boolean {
    return keep((s) => s.getItem(wasHere)) === '1';
  }

  #begin(user: User): void {
    keep((s) => s.setItem(wasHere, '1'));
    this.me = user;
    this.endedBy = null;
    this.status = 'signed_in';
  }

  #end(by: EndedBy | null): void {
    keep((s) => s.removeItem(wasHere));
    this.me = null;
    this.endedBy = by;
    this.status = 'anonymous';
  }
}

export const session = new Session();
