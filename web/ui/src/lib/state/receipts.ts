// Marks of what this device has and of what was read. They only ever rise, so the highest
// of a short while is sent, and after a reconnect the highest that was not answered.

export type Mark = 'delivered' | 'read';

interface Options {
  send(mark: Mark, conversation_id: string, seq: number): Promise<unknown>;
  connected(): boolean;
}

/** Marks are gathered this long, in milliseconds. */
const gather = 250;

export class Receipts {
  #o: Options;
  #owed: Record<Mark, Map<string, number>> = { delivered: new Map(), read: new Map() };
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(o: Options) {
    this.#o = o;
  }

  mark(mark: Mark, conversation_id: string, seq: number): void {
    const owed = this.#owed[mark];
    if (seq < 1 || (owed.get(conversation_id) ?? 0) >= seq) return;
    owed.set(conversation_id, seq);
    this.#timer ??= setTimeout(() => this.flush(), gather);
  }

  /** Sends what is owed; called when the connection is back and when the page is hidden. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#o.connected()) return;
    for (const [id, seq] of this.#owed.read) {
      // Reading implies having.
      if ((this.#owed.delivered.get(id) ?? 0) <= seq) this.#owed.delivered.delete(id);
    }
    for (const mark of ['delivered', 'read'] as const) {
      const owed = this.#owed[mark];
      for (const [id, seq] of owed) {
        owed.delete(id);
        this.#o.send(mark, id, seq).catch(() => {
          // Owed again; a refusal is answered once more when the next mark is due, no sooner.
          if ((owed.get(id) ?? 0) < seq) owed.set(id, seq);
        });
      }
    }
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#owed.delivered.clear();
    this.#owed.read.clear();
  }
}
