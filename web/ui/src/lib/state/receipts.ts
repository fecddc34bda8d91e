import { asApiError, type ApiError } from '../api/errors';
import { elapsed } from '../elapsed';
import { waitAfter } from './again';

// Marks of what this device has and of what was read. They only ever rise, so the highest
// of a short while is sent, and after a reconnect the highest that was not answered. The
// server answers before it writes, and a crash forgets what it did not write: so what was
// said last is said again as well.

export type Mark = 'delivered' | 'read';

interface Options {
  send(mark: Mark, conversation_id: string, seq: number): Promise<unknown>;
  connected(): boolean;
  /** Are marks of the conversation not to be sent? So it is once it was left, and with those of reading until it is accepted. */
  closed(conversation_id: string, mark: Mark): boolean;
}

/** Marks are gathered this long, in milliseconds. */
const gather = 250;
/**
 * So many are sent at once. The server takes 50 frames a second of a connection: a long
 * absence owes hundreds, and they must leave room for what somebody writes.
 */
const atOnce = 10;
/** What was said this long before the last of all, in milliseconds, is certainly written. */
const written = 60_000;

export class Receipts {
  #o: Options;
  #owed: Record<Mark, Map<string, number>> = { delivered: new Map(), read: new Map() };
  /** Answered, and perhaps not written; the one said last is at the end. */
  #said: { mark: Mark; id: string; seq: number; at: number }[] = [];
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

  /** There is a new connection, perhaps to a server that has forgotten what was said last. */
  connected(): void {
    for (const { mark, id, seq } of this.#said.splice(0)) this.#owe(mark, id, seq);
    this.flush();
  }

  /** Sends what is owed, bit by bit; called when the page is hidden as well. */
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
        if (this.#o.closed(id, mark)) continue;
        this.#o.send(mark, id, seq).then(
          () => this.#answered(mark, id, seq),
          (err) => this.#refused(mark, id, seq, asApiError(err)),
        );
      }
    }
  }

  #answered(mark: Mark, id: string, seq: number): void {
    this.#failures = 0;
    const at = elapsed();
    this.#said = this.#said.filter((s) => s.at > at - written && !(s.mark === mark && s.id === id && s.seq <= seq));
    this.#said.push({ mark, id, seq, at });
  }

  #owe(mark: Mark, id: string, seq: number): void {
    const owed = this.#owed[mark];
    if ((owed.get(id) ?? 0) < seq) owed.set(id, seq);
  }

  /** Owes a mark again, unless it would be refused again. */
  #refused(mark: Mark, id: string, seq: number, err: ApiError): void {
    const wait = waitAfter(this.#failures + 1, err);
    if (wait === null) return;
    this.#owe(mark, id, seq);
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
    this.#said = [];
  }
}
