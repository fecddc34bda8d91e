import type { PeopleSearch } from './finder.svelte';

interface Options<T> {
  search: Pick<PeopleSearch, 'current' | 'settled' | 'error'>;
  /** The rows that match the text, in the order shown. */
  rows: () => T[];
  keyOf: (row: T) => string;
  /** How well a row matches the text: bigger is better. */
  fit: (row: T) => number;
  act: (row: T) => void;
  /** Some rows need no server: where the answer fails, Enter acts on them. */
  local?: boolean;
}

/**
 * The row that Enter acts on, in a list that depends on a text and on the server's answer to it.
 * Invariant: it never acts on a row that does not match the text in the box.
 */
export class Choice<T> {
  /** Enter was pressed before the answer to the text was there. */
  waiting = $state(false);
  #o: Options<T>;
  /** The row that the arrow keys or the pointer chose; it stays chosen when rows move. */
  #key = $state<string | null>(null);
  #turn = 0;

  constructor(o: Options<T>) {
    this.#o = o;
  }

  /** The index of the highlighted row: the chosen one, or the first of those that match best; -1 without rows. */
  readonly active = $derived.by((): number => {
    const { rows, keyOf, fit } = this.#o;
    const all = rows();
    const chosen = this.#key === null ? -1 : all.findIndex((r) => keyOf(r) === this.#key);
    if (chosen >= 0) return chosen;
    const fits = all.map(fit);
    return fits.indexOf(Math.max(...fits));
  });

  /** The text has changed, or an act is over: what was chosen and what is waited for is void. */
  reset(): void {
    this.#turn++;
    this.waiting = false;
    this.#key = null;
  }

  move(by: 1 | -1): void {
    const rows = this.#o.rows();
    if (rows.length === 0) return;
    const to = (this.active + by + rows.length) % rows.length;
    this.reset();
    this.#key = this.#o.keyOf(rows[to]!);
  }

  point(row: T): void {
    this.#key = this.#o.keyOf(row);
  }

  /** A click: the row may have gone since it was drawn. */
  click(row: T): void {
    if (this.#o.rows().some((r) => this.#o.keyOf(r) === this.#o.keyOf(row))) this.#act(row);
  }

  async enter(): Promise<void> {
    const { search, rows, keyOf, local } = this.#o;
    const all = rows();
    const chosen = all.find((r) => keyOf(r) === this.#key) ?? (search.current ? all[this.active] : undefined);
    if (chosen) {
      this.#act(chosen);
      return;
    }
    const turn = ++this.#turn;
    this.waiting = true;
    const answered = await search.settled();
    if (turn !== this.#turn) return;
    this.waiting = false;
    // The user has not seen these rows: only the one that is clearly meant is acted on.
    const best = answered || (local && search.error) ? this.#best() : undefined;
    if (best) this.#act(best);
  }

  #act(row: T): void {
    this.reset();
    this.#o.act(row);
  }

  /** The row that matches better than every other. */
  #best(): T | undefined {
    const [first, second] = this.#o.rows().map((row) => ({ row, fit: this.#o.fit(row) })).sort((a, b) => b.fit - a.fit);
    return first && (!second || first.fit > second.fit) ? first.row : undefined;
  }
}
