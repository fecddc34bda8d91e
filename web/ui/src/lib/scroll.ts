// Keeps what somebody reads where it is while rows come and go around it. The browser's
// own scroll anchoring is off (not every browser has it, and none has it at the edges).

/** Within this many pixels of the end, new messages are followed. */
export const nearEnd = 100;

interface Anchor {
  row: HTMLElement;
  /** How far its top is below the top of the view. */
  top: number;
  /** How far the end of the content is below the bottom of the view. */
  below: number;
  last: string | undefined;
  scrollTop: number;
}

export class Keeper {
  #view: HTMLElement;
  #rows: HTMLCollectionOf<Element>;
  #anchor: Anchor | null = null;

  /** Rows are the elements of class .row, in order, with a data-key that stays theirs. */
  constructor(view: HTMLElement) {
    this.#view = view;
    this.#rows = view.getElementsByClassName('row');
  }

  /** How far the end is below the bottom of the view, in pixels. */
  get below(): number {
    return this.#view.scrollHeight - this.#view.scrollTop - this.#view.clientHeight;
  }

  /** Remembers where the reader is. Called before each change. */
  capture(): void {
    const row = this.#rows[this.#firstBelow(0)] as HTMLElement | undefined;
    this.#anchor = row
      ? { row, top: this.#topOf(row), below: this.below, last: this.#lastKey(), scrollTop: this.#view.scrollTop }
      : null;
  }

  /**
   * Brings the reader back to where they were after rows were added or removed or
   * anything changed its size. Who was near the end stays there, and follows new rows,
   * unless they were not at the end of the conversation, but of what was fetched of it.
   */
  restore(follow = true): void {
    const a = this.#anchor;
    if (!a) return;
    const grown = this.#lastKey() !== a.last;
    if (a.below <= nearEnd && (follow || !grown)) {
      this.#scrollBy(this.below - (grown ? 0 : a.below));
    } else if (a.row.isConnected) {
      this.#scrollBy(this.#topOf(a.row) - a.top);
    }
    this.capture();
  }

  /**
   * Called whenever something may have moved: when it was the reader who scrolled, remembers
   * where they are now, else brings them back.
   */
  settle(): void {
    const a = this.#anchor;
    const reachable = this.#view.scrollHeight - this.#view.clientHeight;
    // A position that cannot be any more was corrected by the browser, not by the reader.
    if (a && Math.abs(a.scrollTop - this.#view.scrollTop) >= 1 && a.scrollTop <= reachable) this.capture();
    else this.restore();
  }

  /** Shows the end. */
  toEnd(smooth = false): void {
    this.#view.scrollTo({ top: this.#view.scrollHeight, behavior: smooth ? 'smooth' : 'instant' });
    if (!smooth) this.capture();
  }

  /** Shows an element, its top so far below the top of the view, as far as that goes. */
  toElement(element: Element, top: number): void {
    this.#scrollBy(this.#topOf(element) - top);
    this.capture();
  }

  /** Where the reader is, to come back to: a row's key and its top. */
  get place(): { key: string; top: number } | 'end' {
    const row = this.#rows[this.#firstBelow(0)] as HTMLElement | undefined;
    if (!row || this.below <= nearEnd) return 'end';
    return { key: row.dataset.key!, top: this.#topOf(row) };
  }

  rowOf(key: string): Element | undefined {
    return Array.prototype.find.call(this.#rows, (r: HTMLElement) => r.dataset.key === key);
  }

  /** The seq of the last stored row whose end was in view, or 0. */
  get seenSeq(): number {
    for (let i = this.#firstBelow(this.#view.clientHeight + 1) - 1; i >= 0; i--) {
      const seq = Number((this.#rows[i] as HTMLElement).dataset.seq);
      if (seq > 0) return seq;
    }
    return 0;
  }

  /** The index of the first row that ends below a line so far from the top of the view. */
  #firstBelow(line: number): number {
    const origin = this.#view.getBoundingClientRect().top + line;
    let from = 0;
    let to = this.#rows.length;
    while (from < to) {
      const mid = (from + to) >> 1;
      if (this.#rows[mid]!.getBoundingClientRect().bottom > origin) to = mid;
      else from = mid + 1;
    }
    return from;
  }

  #topOf(element: Element): number {
    return element.getBoundingClientRect().top - this.#view.getBoundingClientRect().top;
  }

  #lastKey(): string | undefined {
    return (this.#rows[this.#rows.length - 1] as HTMLElement | undefined)?.dataset.key;
  }

  #scrollBy(px: number): void {
    if (Math.abs(px) >= 0.5) this.#view.scrollTop += px;
  }
}
