import { asApiError, type ApiError } from '../api/errors';
import { http, type Person, type ProfileChange } from '../api/http';
import type { Profile, User } from '../api/types';
import { storageName } from '../base';

/** Who is signed in, as far as this page knows. */
type Status = 'unknown' | 'unreachable' | 'anonymous' | 'signed_in';

/** Why nobody is signed in any more. */
export type EndedBy = 'self' | 'elsewhere' | 'deleted';

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
  /** What others get to know is known a moment after signing in. */
  me = $state<(User & Partial<Profile>) | null>(null);
  endedBy = $state<EndedBy | null>(null);

  /** Whose session was ended elsewhere: nothing of theirs is to stay on this device. */
  gone = $state<string | null>(null);

  /** All tabs share a cookie: who signs in in one is signed in in all. */
  #tabs = new BroadcastChannel(storageName('session'));

  constructor() {
    this.#tabs.onmessage = () => void this.check();
  }

  /** Counts changes: what was asked for before one is out of date. */
  #changes = 0;

  /** Finds out who is signed in. */
  async check(): Promise<void> {
    const changes = this.#changes;
    try {
      const me = await http.me();
      if (changes === this.#changes) this.#begin(me);
    } catch (err) {
      if (asApiError(err).code === 'unauthenticated') this.#end(this.status === 'signed_in' || this.likely ? 'elsewhere' : this.endedBy);
      else if (this.status === 'unknown') this.status = 'unreachable';
    }
  }

  async signIn(username: string, password: string): Promise<void> {
    this.#changed((await http.signIn(username, password)).user);
  }

  async setUp(token: string, person: Person): Promise<void> {
    this.#changed((await http.setUp(token, person)).user);
  }

  async signUp(invite: string | undefined, person: Person): Promise<void> {
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

  /** Deletes the account. Other tabs notice at once. */
  async delete(password: string, messages: 'keep' | 'erase'): Promise<void> {
    await http.deleteMe(password, messages);
    this.#end('deleted');
    this.#tabs.postMessage(null);
  }

  /** The server says that the session is over. */
  ended(): void {
    if (this.status === 'signed_in') this.#end('elsewhere');
  }

  async rename(display_name: string): Promise<void> {
    await this.#change({ display_name });
  }

  /** Changes a setting. Other tabs follow at once. */
  async set(change: ProfileChange): Promise<void> {
    await this.#change(change);
    this.#tabs.postMessage(null);
  }

  async #change(change: ProfileChange): Promise<void> {
    this.me = await http.changeMe(change);
    this.#changes++;
  }

  /** Is what others have read for oneself to know? */
  get tellsRead(): boolean {
    return this.me?.read_receipts !== false;
  }

  #changed(user: User): void {
    this.#begin(user);
    this.#tabs.postMessage(null);
    void this.check();
  }

  /** Who was signed in when this browser was here last, if anybody: most likely they still are. */
  get likely(): string | null {
    return keep((s) => s.getItem(wasHere)) ?? null;
  }

  #begin(user: User): void {
    this.gone = null;
    keep((s) => s.setItem(wasHere, user.id));
    this.me = user;
    this.endedBy = null;
    this.status = 'signed_in';
  }

  #end(by: EndedBy | null): void {
    if (by !== 'self') this.gone = this.me?.id ?? this.likely ?? this.gone;
    keep((s) => s.removeItem(wasHere));
    this.me = null;
    this.endedBy = by;
    this.status = 'anonymous';
  }
}

export const session = new Session();
