import { asApiError, type ApiError } from '../api/errors';
import type { Reached } from '../api/types';

/** In a group nobody says when one more has read something; so it is asked for, in milliseconds. */
const every = 4_000;

interface Seen {
  read: Reached[];
  /** Those who have it and have not read it, as far as they tell. */
  delivered: Reached[];
  waiting: Reached[];
}

const latestFirst = (at: 'read_at' | 'delivered_at') => (a: Reached, b: Reached): number => (a[at] ?? '') < (b[at] ?? '') ? 1 : -1;

/** With whom a message has got how far, kept current while one looks. */
export class SeenBy {
  /** Null until it is known. */
  seen = $state.raw<Seen | null>(null);
  /** Why it could not be had. */
  error = $state.raw<ApiError | null>(null);
  #me: string;
  #fetch: () => Promise<Reached[]>;
  #asking = false;
  #again = false;

  constructor(me: string, fetch: () => Promise<Reached[]>) {
    this.#me = me;
    this.#fetch = fetch;
  }

  /** Fetches it, and again and again while that is worth it, until the function it gives is called. */
  follow(worth: () => boolean): () => void {
    void this.load();
    const timer = setInterval(() => worth() && document.visibilityState === 'visible' && void this.load(), every);
    return () => clearInterval(timer);
  }

  /** Fetches it, one question at a time. */
  async load(): Promise<void> {
    this.#again = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    try {
      do {
        this.#again = false;
        this.#put(await this.#fetch());
      } while (this.#again);
      this.error = null;
    } catch (err) {
      this.error = asApiError(err);
    } finally {
      this.#asking = false;
    }
  }

  #put(all: Reached[]): void {
    const others = all.filter((r) => r.user_id !== this.#me);
    this.seen = {
      read: others.filter((r) => r.read).sort(latestFirst('read_at')),
      delivered: others.filter((r) => r.delivered && !r.read).sort(latestFirst('delivered_at')),
      waiting: others.filter((r) => !r.delivered),
    };
  }
}
