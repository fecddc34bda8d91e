import { asApiError, type ApiError } from '../api/errors';
import { waitAfter } from './again';

// Marks of what this device has and of what was read. They only ever rise, so the highest
// of a short while is sent, and after a reconnect the highest that was not answered.

export type Mark = 'delivered' | 'read';

interface Options {
  send(mark: Mark, conversation_id: string, seq: number): Promise<unknown>;
  connected(): boolean;
  /** Is one no longer in the conversation? The server then takes no marks of it. */
  closed(conversation_id: string): boolean;
}

/** Marks are gathered this long, in milliseconds. */
const gather = 250;
/**
 * So many are sent at once. The server takes 50 frames a second of a connection: a long
 * absence owes hundreds, and they must leave room for what somebody writes.
 */
const atOnce = 10;

export class Receipts {
  #o: Options;
  #owed: Record<Mark, Map<string, number>> = { delivered: new Map(), read: new Map() };
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0; // one after the other
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor(o: Options) {
    this.#o = o;
  }

  mark(mark: Mark, conversation_id: string, seq: number): void {
    const owed = this.#owed[mark];
    if (seq < 1 || (owed.get(conversation_id) ?? 0) >= seq) return;
    owed.set(conversation_id, seq);
    this.#timer ??= setTimeout(() => this.flush(), gather);
  }

  /** Sends what is owed, bit by bit; called when the connection is back and when the page is hidden. */
  flush(): void {
    this.#stop();
    if (!this.#o.connected()) return;
    for (const [id, seq] of this.#owed.read) {
      // Reading implies having.
      if ((this.#owed.delivered.get(id) ?? 0) <= seq) this.#owed.delivered.delete(id);
    }
    let room = atOnce;
    for (const mark of ['read', 'delivered'] as const) {
      const owed = this.#owed[mark];
      for (const [id, seq] of owed) {
        if (room-- === 0) {
          this.#timer = setTimeout(() => this.flush(), gather);
          return;
        }
        owed.delete(id);
        if (this.#o.closed(id)) continue;
        this.#o.send(mark, id, seq).then(
          () => (this.#failures = 0),
          (err) => this.#refused(mark, id, seq, asApiError(err)),
        );
      }
    }
  }

  /** Owes a mark again, unless it would be refused again. */
  #refused(mark: Mark, id: string, seq: number, err: ApiError): void {
    const wait = waitAfter(this.#failures + 1, err);
    if (wait === null) return;
    const owed = this.#owed[mark];
    if ((owed.get(id) ?? 0) < seq) owed.set(id, seq);
    if (err.code === 'offline' || this.#again) return; // goes with the connection, or with the others
    this.#failures++;
    this.#again = setTimeout(() => this.flush(), wait);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#again);
    this.#timer = this.#again = undefined;
  }

  clear(): void {
    this.#stop();
    this.#owed.delivered.clear();
    this.#owed.read.clear();
  }
}
