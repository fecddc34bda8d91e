import { ApiError } from '../api/errors';
import type { Sent } from '../api/types';
import type { Pending } from '../group';
import { uuidv7 } from '../uuid';
import { byPosition, nextPosition, type OutboxStore, type Queued } from './outbox-store';

// The way of a message from the composer to the server's acknowledgement. It is written
// down first, then sent, one at a time in each conversation, with the same client_id
// until the server has answered: sent twice, it is stored once.

/** Waits between tries while connected: from, up to, in milliseconds. */
const retryFrom = 500;
const retryUpTo = 30_000;
/** An error of the server's own is taken for lasting after this many tries. */
const internalTries = 5;

interface Options {
  store: OutboxStore;
  user_id: string;
  /** Sends one message. Rejects with an ApiError; `offline` and `unavailable` leave it open whether it was stored. */
  send(item: Queued): Promise<Sent>;
  /** For a conversation that does not exist yet: creates it and gives its id. Undefined for all others. */
  begin?(conversation_id: string): Promise<string> | undefined;
  connected(): boolean;
  /** Runs f while no other tab of this browser runs one under the same name. */
  exclusively(name: string, f: () => Promise<void>): Promise<void>;
  /** What is on its way in a conversation has changed. */
  onChange(conversation_id: string, pending: Pending[]): void;
  /** Other tabs should look at what is stored. */
  announce(): void;
  sleep?(ms: number): Promise<void>;
}

export class Outbox {
  #o: Options;
  #items = new Map<string, Queued>();
  /** Acknowledged, but not seen in the log yet. */
  #sent = new Map<string, Pending>();
  /** Of these, by client_id, the store has not (yet) what is here. */
  #ahead = new Set<string>();
  #draining = new Map<string, boolean>(); // conversation -> go round again

  constructor(o: Options) {
    this.#o = o;
  }

  /** Reads what earlier pages or other tabs left. */
  async load(): Promise<void> {
    const stored = await this.#o.store.all(this.#o.user_id);
    const changed = new Set([...this.#items.values()].map((i) => i.conversation_id));
    const ahead = [...this.#items.values()].filter((i) => this.#ahead.has(i.client_id));
    this.#items = new Map([...stored, ...ahead].map((i) => [i.client_id, i]));
    for (const item of stored) changed.add(item.conversation_id);
    for (const id of changed) this.#changed(id);
  }

  get size(): number {
    return this.#items.size;
  }

  /**
   * Writes a message down and sends it. The row is there before this returns. Tells
   * whether it could be written down.
   */
  async enqueue(conversation_id: string, body: string, o: Pick<Queued, 'reply_to' | 'mentions' | 'mentions_open'> = {}): Promise<boolean> {
    const client_id = uuidv7();
    const item: Queued = {
      client_id,
      user_id: this.#o.user_id,
      conversation_id,
      body,
      ...o,
      created_at: new Date().toISOString(),
      state: 'queued',
    };
    const kept = await this.#keep(item, true);
    if (kept) this.drain(conversation_id);
    return kept;
  }

  /** Sends a failed message again, after what was queued meanwhile. */
  async retry(client_id: string): Promise<void> {
    const old = this.#items.get(client_id);
    if (!old) return;
    const { code, detail: _, place: _p, ...rest } = old;
    // The id is taken by another message: the old one can never be stored under it.
    const id = code === 'conflict' ? uuidv7() : client_id;
    const item: Queued = { ...rest, client_id: id, state: 'queued' };
    if (!(await this.#keep(item, true))) return;
    if (id !== client_id) await this.#forget(client_id); // only now: it is never in neither form
    this.drain(item.conversation_id);
  }

  /** Gives a message up. */
  async remove(client_id: string): Promise<void> {
    await this.#forget(client_id);
  }

  /** Gives everything up. */
  async clear(): Promise<void> {
    for (const id of [...this.#items.keys()]) await this.#forget(id);
  }

  /** The log has it: whatever became of the answer, it is stored. */
  confirm(client_id: string): void {
    const sent = this.#sent.get(client_id);
    if (sent) {
      this.#sent.delete(client_id);
      this.#changed(sent.conversation_id);
    }
    if (this.#items.has(client_id)) void this.#forget(client_id);
  }

  /** Sends everything there is; called whenever the connection is back. */
  drainAll(): void {
    for (const id of new Set([...this.#items.values()].map((i) => i.conversation_id))) this.drain(id);
  }

  drain(conversation_id: string): void {
    if (this.#draining.has(conversation_id)) {
      this.#draining.set(conversation_id, true);
      return;
    }
    this.#draining.set(conversation_id, false);
    void this.#o
      .exclusively(conversation_id, () => this.#run(conversation_id))
      .catch((err) => console.error('sending what is queued', err))
      .finally(() => {
        const again = this.#draining.get(conversation_id);
        this.#draining.delete(conversation_id);
        if (again && this.#o.connected()) this.drain(conversation_id);
      });
  }

  async #run(conversation_id: string): Promise<void> {
    let tries = 0;
    while (this.#o.connected()) {
      // From the store, not from memory: another tab may have queued or sent meanwhile.
      // Only that something failed may be known here alone.
      const item = (await this.#o.store.all(this.#o.user_id)).find(
        (i) => i.conversation_id === conversation_id && i.state === 'queued' && this.#items.get(i.client_id)?.state !== 'failed',
      );
      if (!item) return;
      try {
        const begun = this.#o.begin?.(conversation_id);
        if (begun) {
          await this.move(conversation_id, await begun);
          return;
        }
        const sent = await this.#o.send(item);
        // Gone already if its entry was faster, or if it is another tab's.
        if (this.#items.has(item.client_id)) this.#sent.set(item.client_id, acknowledged(item, sent));
        await this.#forget(item.client_id);
        tries = 0;
      } catch (err) {
        const e = err instanceof ApiError ? err : new ApiError('internal', String(err));
        if (e.code === 'offline' || e.code === 'unauthenticated') return; // goes on when connected
        tries++;
        if (isLasting(e, tries)) {
          await this.#fail(item, e);
          tries = 0;
        } else {
          const wait = e.retryAfter * 1000 || Math.min(retryUpTo, retryFrom * 2 ** (tries - 1));
          await (this.#o.sleep ?? sleep)(wait * (1 + Math.random() / 4));
        }
      }
    }
  }

  /** Moves what is queued or was refused, in its order, to the conversation that now exists. */
  async move(from: string, to: string): Promise<void> {
    const stored = new Set((await this.#o.store.all(this.#o.user_id)).map((i) => i.client_id));
    const items = [...this.#items.values()].filter((i) => i.conversation_id === from).sort(byPosition);
    for (const { client_id } of items) {
      const item = this.#items.get(client_id);
      // Another tab may have sent it: what is no longer stored is not stored again.
      if (item && (stored.has(client_id) || this.#ahead.has(client_id))) await this.#keep({ ...item, conversation_id: to });
    }
    this.#changed(from);
    this.drain(to);
  }

  async #fail(item: Queued, err: ApiError): Promise<void> {
    await this.#keep({ ...item, state: 'failed', code: err.code, detail: err.detail });
  }

  /** Shows the item at once and writes it down, perhaps behind all others. A full disk is a failure like another. */
  async #keep(item: Queued, last = false): Promise<boolean> {
    // Until the store has numbered it: other tabs append as well.
    if (last) item = { ...item, position: nextPosition(this.#items.values()) };
    this.#items.set(item.client_id, item);
    this.#changed(item.conversation_id);
    this.#ahead.add(item.client_id);
    try {
      if (last) this.#numbered(item, await this.#o.store.append(item));
      else await this.#o.store.put(item);
      this.#ahead.delete(item.client_id);
      this.#o.announce();
      return true;
    } catch (err) {
      console.error('writing a message down', err);
      // What the server said of it is worth more than that the device is full.
      if (item.state !== 'failed') this.#items.set(item.client_id, { ...item, state: 'failed', code: 'storage', detail: '' });
      this.#changed(item.conversation_id);
      return false;
    }
  }

  #numbered(item: Queued, position: number): void {
    if (position === item.position || this.#items.get(item.client_id) !== item) return;
    this.#items.set(item.client_id, { ...item, position });
    this.#changed(item.conversation_id);
  }

  async #forget(client_id: string): Promise<void> {
    const item = this.#items.get(client_id);
    this.#items.delete(client_id);
    this.#ahead.delete(client_id);
    if (item) this.#changed(item.conversation_id);
    await this.#o.store.delete(client_id);
    this.#o.announce();
  }

  #changed(conversation_id: string): void {
    const sent = [...this.#sent.values()].filter((p) => p.conversation_id === conversation_id);
    const queued = [...this.#items.values()]
      .filter((i) => i.conversation_id === conversation_id && !this.#sent.has(i.client_id))
      .sort(byPosition);
    this.#o.onChange(conversation_id, [...sent.sort((a, b) => a.seq! - b.seq!), ...queued.map(toPending)]);
  }
}

const acknowledged = (item: Queued, sent: Sent): Pending => ({
  ...toPending(item),
  state: 'sent',
  seq: sent.seq,
  created_at: sent.created_at,
});

function toPending(i: Queued): Pending {
  const { user_id: _u, place: _p, position: _n, ...pending } = i;
  return pending;
}

/** Will the same message be refused again however often it is sent? */
function isLasting(err: ApiError, tries: number): boolean {
  switch (err.code) {
    case 'rate_limited':
    case 'unavailable':
      return false;
    case 'internal':
      return tries >= internalTries;
    default:
      return true;
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
