// Which message one means: the one under the pointer, with the focus, or under the finger.

/** The message that an event is about. */
export function rowAt(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest<HTMLElement>('.row[role=article]') : null;
}

/** Scrolling is over when there was none for so long, in milliseconds. */
const settled = 150;

/** The row that shows what can be done with it. */
export class ActiveRow {
  /** The one for which a menu is open. */
  pinned = $state<string | null>(null);
  #pointed = $state<string | null>(null);
  #focused = $state<string | null>(null);
  readonly key = $derived(this.pinned ?? this.#pointed ?? this.#focused);

  #pointer: { x: number; y: number } | null = null;
  #scrolling: ReturnType<typeof setTimeout> | undefined;

  point(e: PointerEvent): void {
    if (e.pointerType !== 'mouse') return;
    this.#pointer = { x: e.clientX, y: e.clientY };
    if (this.#scrolling === undefined) this.#point(e.target);
  }

  leave(): void {
    this.#pointer = this.#pointed = null;
  }

  /** Rows that scroll by under the pointer are not pointed at; the one it comes to rest on is. */
  scrolled(): void {
    this.#pointed = null;
    clearTimeout(this.#scrolling);
    this.#scrolling = setTimeout(() => {
      this.#scrolling = undefined;
      if (this.#pointer) this.#point(document.elementFromPoint(this.#pointer.x, this.#pointer.y));
    }, settled);
  }

  #point(target: EventTarget | null): void {
    const key = rowAt(target)?.dataset.key ?? null;
    if (key !== this.#pointed) this.#pointed = key;
  }

  /** Only who goes by the keyboard is shown a row for its focus. */
  focus(e: FocusEvent): void {
    const visible = (e.target as Element).matches(':focus-visible');
    this.#focused = visible ? (rowAt(e.target)?.dataset.key ?? null) : null;
  }

  blur(): void {
    this.#focused = null;
  }

  stop(): void {
    clearTimeout(this.#scrolling);
  }
}

/** A finger rests so long on what it means, in milliseconds, and moves no further, in pixels. */
const rest = 450;
const slack = 10;

/** A finger cannot point: it rests on what it means. */
export class LongPress {
  #then: (row: HTMLElement) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = { x: 0, y: 0 };
  #done = false;

  constructor(then: (row: HTMLElement) => void) {
    this.#then = then;
  }

  down(e: PointerEvent): void {
    this.cancel();
    this.#done = false;
    const row = rowAt(e.target);
    if (e.pointerType !== 'touch' || !row || (e.target as Element).closest('.state')) return;
    this.#at = { x: e.clientX, y: e.clientY };
    this.#timer = setTimeout(() => {
      this.#done = true;
      this.#then(row);
    }, rest);
  }

  move(e: PointerEvent): void {
    if (Math.hypot(e.clientX - this.#at.x, e.clientY - this.#at.y) > slack) this.cancel();
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  /** Where it ends nothing is clicked. */
  click(e: MouseEvent): void {
    if (!this.#done) return;
    this.#done = false;
    e.preventDefault();
    e.stopPropagation();
  }
}
