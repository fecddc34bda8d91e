import { SvelteMap } from 'svelte/reactivity';
import { asApiError, type ApiError } from '../api/errors';
import type { Bound } from '../api/http';
import type { Entries, Entry, Message, Page, Quote } from '../api/types';
import { waitAfter } from './again';
import { actOnQuote, fold, quoteOf } from './fold';
import { append, apply, fromPage, lastSeq, maxGap, nothing, pageRows, prepend, renew, type Window } from './window';

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
  #failures = 0; // of opening and filling, one after the other
  #again: ReturnType<typeof setTimeout> | undefined;
  /** Quotes of messages that are not among the rows, by seq; null while one is asked for. */
  #quotes = new Map<number, Quote | null>();
  /** What is to be, before the log says so: reactions of one's own, each until the log is known up to its seq. */
  #wishes = new SvelteMap<string, { entry: Entry; until: number }>();
  /** Answers to questions of an earlier life are not for this one. */
  #life = 0;

  /** What is held, with what is wished for. The window is kept as the log has it, or it would not be known what to go back to. */
  readonly rows: Message[] = $derived([...this.#wishes.values()].reduce((rows, { entry }) => fold(rows, entry), this.#window.rows));

  constructor(source: LogSource) {
    this.#source = source;
  }

  get hasBefore(): boolean {
    return this.#window.hasBefore;
  }

  get hasAfter(): boolean {
    return this.#window.hasAfter;
  }

  /** Up to where everything that happened to the rows is known; what sync names. */
  get held(): number | null {
    return this.phase === 'ready' ? this.#window.to : null;
  }

  has(seq: number): boolean {
    const first = this.rows[0];
    const to = this.hasAfter ? lastSeq(this.rows) : this.#window.to;
    return this.phase === 'ready' && first !== undefined && first.seq <= seq && seq <= to;
  }

  /** A message in short, if it is held or was quoted here. */
  quote(seq: number): Quote | undefined {
    const row = this.rows.find((m) => m.seq === seq);
    return row?.kind === 'message' ? quoteOf(row) : (this.#quotes.get(seq) ?? undefined);
  }

  /** Keeps a quote, for a message that is going to answer what may not be held then. */
  cite(quote: Quote): void {
    this.#quotes.set(quote.seq, quote);
  }

  /** Shows the newest rows, or those around a seq. Gives whether they could be had; else those that were shown stay. */
  async open(around?: number): Promise<boolean> {
    const life = ++this.#life;
    this.phase = 'loading';
    this.#filling = false;
    clearTimeout(this.#again);
    this.error = this.busy = this.stuck = null;
    try {
      const page = await this.#source.page(around ? { around } : {}, pageRows);
      if (life !== this.#life) return false;
      this.#show(fromPage(page));
      this.place = 'end';
      this.phase = 'ready';
      this.#failures = 0;
    } catch (err) {
      if (life !== this.#life) return false;
      this.error = asApiError(err);
      if (this.rows.length === 0) {
        this.phase = 'empty';
        // The connection may be there, so that nothing else would have it tried again.
        const wait = waitAfter(++this.#failures, this.error);
        if (wait !== null) this.#again = setTimeout(() => this.retry(), wait);
        return false;
      }
      // The rows of before are still good: what comes goes on being put after them.
      this.phase = 'ready';
      if (this.hasAfter) this.stuck = 'after';
      void this.#fill();
      return false;
    }
    void this.#fill();
    return true;
  }

  /** What could not be fetched may be had now, by whoever looks. */
  retry(): void {
    this.error = this.stuck = null;
  }

  /** What is held may never have happened. */
  forget(): void {
    this.#life++;
    this.#window = nothing;
    this.#known = 0;
    this.#filling = false;
    clearTimeout(this.#again);
    this.#quotes.clear();
    this.#wishes.clear();
    this.phase = 'empty';
    this.error = this.busy = this.stuck = null;
  }

  /** Applies an entry if it is the next; what is missing before it is fetched. */
  apply(entry: Entry): void {
    this.#known = Math.max(this.#known, entry.seq);
    if (this.phase !== 'ready') return;
    if (this.#take(entry) === 'hole') void this.#fill();
  }

  #take(entry: Entry, next?: boolean): string {
    const cited = entry.target_seq === undefined ? undefined : this.#quotes.get(entry.target_seq);
    if (cited) this.cite(actOnQuote(cited, entry));
    if (entry.kind === 'messages_erased') for (const quote of this.#quotes.values()) if (quote) this.cite(actOnQuote(quote, entry));
    const [result, window] = apply(this.#window, entry, this.following, next);
    if (window !== this.#window) this.#show(window);
    return result;
  }

  /** Shows rows with the quotes that live entries come without. */
  #show(window: Window): void {
    let { rows } = window;
    for (const [key, { until }] of this.#wishes) if (until <= window.to) this.#wishes.delete(key);
    if (rows.some((m) => this.#lacksQuote(m))) {
      rows = rows.map((m) => {
        if (!this.#lacksQuote(m)) return m;
        const row = rows.find((r) => r.seq === m.reply_to);
        const quote = row ? quoteOf(row) : this.#quotes.get(m.reply_to!);
        if (quote === undefined) void this.#fetchQuote(m.reply_to!);
        return quote ? { ...m, quote } : m;
      });
    }
    this.#window = rows === window.rows ? window : { ...window, rows };
  }

  #lacksQuote(m: Message): boolean {
    return m.reply_to !== undefined && m.quote === undefined && !m.deleted;
  }

  async #fetchQuote(seq: number): Promise<void> {
    this.#quotes.set(seq, null);
    const life = this.#life;
    try {
      const { messages } = await this.#source.page({ around: seq }, 1);
      const message = messages.find((m) => m.seq === seq && m.kind === 'message');
      if (life !== this.#life) {
        if (this.#quotes.get(seq) === null) this.#quotes.delete(seq);
        this.#show(this.#window); // its rows may want it as well
        return;
      }
      if (!message) return; // from before one was here
      this.cite(quoteOf(message));
      this.#show(this.#window);
    } catch (err) {
      asApiError(err);
      this.#quotes.delete(seq); // the next change of the rows asks again
    }
  }

  /** Shows what one's own reaction does, whatever the log says, until that is granted. */
  wish(entry: Entry): void {
    this.#wishes.set(`${entry.target_seq} ${entry.emoji}`, { entry, until: Infinity });
  }

  /** What was wished for is so since a seq: from there on the log counts. Without one, at once. */
  grant(target_seq: number, emoji: string, until = 0): void {
    const key = `${target_seq} ${emoji}`;
    const wish = this.#wishes.get(key);
    if (wish && until > this.#window.to) this.#wishes.set(key, { ...wish, until });
    else this.#wishes.delete(key);
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
    if (this.hasAfter) await this.#load('after', { after: lastSeq(this.rows) }, append);
  }

  async #load(end: 'before' | 'after', bound: Bound, put: (w: Window, p: Page) => Window): Promise<void> {
    if (this.phase !== 'ready' || this.busy) return;
    const life = this.#life;
    this.busy = end;
    this.stuck = null;
    try {
      const page = await this.#source.page(bound, pageRows);
      if (life === this.#life) this.#show(put(this.#window, page));
    } catch (err) {
      if (life !== this.#life) return;
      asApiError(err);
      this.stuck = end;
    } finally {
      if (life === this.#life) this.busy = null;
    }
    void this.#fill(); // what came meanwhile
  }

  /** Fetches what happened since, or leaves a long way for the reader to jump. */
  async #fill(): Promise<void> {
    if (this.#filling) return;
    clearTimeout(this.#again);
    const life = this.#life;
    this.#filling = true;
    try {
      while (life === this.#life && this.held !== null && this.held < this.#known) {
        const before = this.held;
        if (this.#known - before > maxGap) {
          this.#show({ ...this.#window, hasAfter: true });
          await this.#renew();
        } else {
          const { entries, last_seq } = await this.#source.entries(before, 100);
          if (life !== this.#life) return;
          this.#failures = 0;
          this.#known = Math.max(this.#known, last_seq);
          // Their order is the server's word: what it gives next is next.
          for (const entry of entries) this.#take(entry, true);
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

  /** So much happened that the rows are fetched anew rather than every step. */
  async #renew(): Promise<void> {
    const life = this.#life;
    let after = (this.rows[0]?.seq ?? 1) - 1;
    let to = Infinity;
    while (life === this.#life && after < lastSeq(this.rows)) {
      const page = await this.#source.page({ after }, pageRows);
      if (life !== this.#life) return;
      to = Math.min(to, page.last_seq);
      this.#show(renew(this.#window, page));
      if (page.messages.length === 0) break;
      after = lastSeq(page.messages);
    }
    if (life === this.#life && to < Infinity) this.#show({ ...this.#window, to: Math.max(to, this.#window.to) });
  }
}
