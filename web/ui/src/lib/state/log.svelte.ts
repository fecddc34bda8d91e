import { asApiError, type ApiError } from '../api/errors';
import type { Bound } from '../api/http';
import type { Entries, Entry, Message, Page } from '../api/types';
import { waitAfter } from './again';
import { append, apply, fromPage, maxGap, nothing, pageRows, prepend, type Window } from './window';

/** What a log needs of the server. */
export interface LogSource {
  page(bound: Bound, limit: number): Promise<Page>;
  entries(after: number, limit: number): Promise<Entries>;
}

/** Where the reader was: a row and how far below the top of the view it began, or the end. */
export type Place = { key: string; top: number } | 'end';

/** A view of a conversation's log: the rows around where somebody reads. */
export class Log {
  phase = $state<'empty' | 'loading' | 'ready'>('empty');
  /** Why the first rows could not be had. */
  error = $state<ApiError | null>(null);
  /** Which end is being fetched, and which could not be. */
  busy = $state<'before' | 'after' | null>(null);
  stuck = $state<'before' | 'after' | null>(null);

  /** Does the reader see the end? New rows then push out old ones. */
  following = true;
  place: Place = 'end';

  #window = $state.raw<Window>(nothing);
  #source: LogSource;
  /** The highest seq heard of: there is something to fetch while it is beyond the window. */
  #known = 0;
  #filling = false;
  #failures = 0; // of filling, one after the other
  #again: ReturnType<typeof setTimeout> | undefined;
  /** Answers to questions of an earlier life are not for this one. */
  #life = 0;

  constructor(source: LogSource) {
    this.#source = source;
  }

  get rows(): Message[] {
    return this.#window.rows;
  }

  get hasBefore(): boolean {
    return this.#window.hasBefore;
  }

  get hasAfter(): boolean {
    return this.#window.hasAfter;
  }

  /** Up to where everything is held, if the window reaches the end; what sync names. */
  get held(): number | null {
    return this.phase === 'ready' && !this.#window.hasAfter ? this.#window.to : null;
  }

  has(seq: number): boolean {
    const first = this.rows[0];
    return this.phase === 'ready' && first !== undefined && first.seq <= seq && seq <= this.#window.to;
  }

  /** Shows the newest rows, or those around a seq. */
  async open(around?: number): Promise<void> {
    const life = ++this.#life;
    this.phase = 'loading';
    this.#filling = false;
    this.error = this.busy = this.stuck = null;
    try {
      const page = await this.#source.page(around ? { around } : {}, pageRows);
      if (life !== this.#life) return;
      this.#window = fromPage(page);
      this.place = 'end';
      this.phase = 'ready';
      void this.#fill();
    } catch (err) {
      if (life !== this.#life) return;
      const e = asApiError(err);
      if (this.rows.length === 0) {
        this.error = e;
        this.phase = 'empty';
        return;
      }
      // The rows of before are still good: what comes goes on being put after them.
      this.phase = 'ready';
      if (this.hasAfter) this.stuck = 'after';
      void this.#fill();
    }
  }

  /** The connection is back: what could not be had may be asked for again. */
  unstick(): void {
    this.error = this.stuck = null;
  }

  /** What is held may never have happened. */
  forget(): void {
    this.#life++;
    this.#window = nothing;
    this.#known = 0;
    this.#filling = false;
    clearTimeout(this.#again);
    this.phase = 'empty';
    this.error = this.busy = this.stuck = null;
  }

  /** Applies an entry if it is the next; what is missing before it is fetched. */
  apply(entry: Entry): void {
    this.#known = Math.max(this.#known, entry.seq);
    if (this.phase !== 'ready') return;
    const [result, window] = apply(this.#window, entry, this.following);
    if (window !== this.#window) this.#window = window;
    if (result === 'hole') void this.#fill();
  }

  /** The conversation is known to reach this far. */
  reaches(seq: number): void {
    this.#known = Math.max(this.#known, seq);
    if (this.phase === 'ready') void this.#fill();
  }

  async loadBefore(): Promise<void> {
    const first = this.rows[0];
    if (first && this.hasBefore) await this.#load('before', { before: first.seq }, prepend);
  }

  async loadAfter(): Promise<void> {
    if (this.hasAfter) await this.#load('after', { after: this.#window.to }, append);
    void this.#fill(); // what came while the window did not reach the end
  }

  async #load(end: 'before' | 'after', bound: Bound, put: (w: Window, p: Page) => Window): Promise<void> {
    if (this.phase !== 'ready' || this.busy) return;
    const life = this.#life;
    this.busy = end;
    this.stuck = null;
    try {
      const page = await this.#source.page(bound, pageRows);
      if (life === this.#life) this.#window = put(this.#window, page);
    } catch (err) {
      if (life !== this.#life) return;
      asApiError(err);
      this.stuck = end;
    } finally {
      if (life === this.#life) this.busy = null;
    }
  }

  /** Fetches what is missing at the end, or leaves a long way for the reader to jump. */
  async #fill(): Promise<void> {
    if (this.#filling) return;
    clearTimeout(this.#again);
    const life = this.#life;
    this.#filling = true;
    try {
      while (life === this.#life && this.held !== null && this.held < this.#known) {
        if (this.#known - this.held > maxGap) {
          this.#window = { ...this.#window, hasAfter: true };
          return;
        }
        const { entries, last_seq } = await this.#source.entries(this.held, 100);
        if (life !== this.#life) return;
        this.#failures = 0;
        this.#known = Math.max(this.#known, last_seq);
        const before = this.held;
        for (const entry of entries) {
          const [, window] = apply(this.#window, entry, this.following);
          this.#window = window;
        }
        if (this.held === before) return; // no progress: the next entry or sync tries again
      }
    } catch (err) {
      if (life !== this.#life) return;
      const wait = waitAfter(++this.#failures, asApiError(err));
      // The next entry or sync asks as well, but a quiet conversation may get none for long.
      if (wait !== null) this.#again = setTimeout(() => void this.#fill(), wait);
    } finally {
      if (life === this.#life) this.#filling = false;
    }
  }
}
