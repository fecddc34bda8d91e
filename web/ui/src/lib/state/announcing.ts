import { asApiError } from '../api/errors';
import type { Entry } from '../api/types';
import type { Payload } from '../../../worker/payload';
import { wanted } from '../turned-on';
import type { Announcer } from './announcer';
import type { Live } from './live.svelte';

/** So many calls wait for the announcer at most. */
const mostQueued = 1_000;

/** The announcer of a page. It is no part of the first load: what is asked of it till it is there is done then. */
export class Announcing {
  #live: Pick<Live, 'me' | 'conversations' | 'people' | 'blocks'>;
  #announcer: Announcer | null = null;
  #loading: Promise<void> | null = null;
  #queue: ((a: Announcer) => void)[] = [];
  #over = false;

  constructor(live: Pick<Live, 'me' | 'conversations' | 'people' | 'blocks'>) {
    this.#live = live;
  }

  knows(id: string, seq: number): void {
    this.#do((a) => a.knows(id, seq), false);
  }

  hear(e: Entry): void {
    this.#do((a) => a.hear(e));
  }

  listed(): void {
    this.#do((a) => void a.listed().catch(asApiError), wanted(this.#live.me));
  }

  did(p: Payload): boolean {
    return this.#announcer?.did(p) ?? false;
  }

  forget(id: string): void {
    this.#do((a) => a.forget(id), false);
  }

  clear(): void {
    this.#do((a) => a.clear(), false);
  }

  stop(): void {
    this.#over = true;
    this.#queue = [];
    this.#announcer?.stop();
  }

  #do(f: (a: Announcer) => void, load = true): void {
    if (this.#over) return;
    if (this.#announcer) {
      f(this.#announcer);
      return;
    }
    this.#queue = [...this.#queue.slice(1 - mostQueued), f];
    if (!load) return;
    this.#loading ??= this.#load()
      .catch(asApiError) // the next call tries again
      .then(() => void (this.#loading = null));
  }

  async #load(): Promise<void> {
    const { Announcer } = await import('./announcer');
    if (this.#over) return;
    this.#announcer = new Announcer(this.#live);
    for (const f of this.#queue.splice(0)) f(this.#announcer);
  }
}
