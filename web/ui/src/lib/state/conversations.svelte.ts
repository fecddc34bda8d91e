import { SvelteMap } from 'svelte/reactivity';
import type { Conversation, Entry, Receipt } from '../api/types';

/** The person at the other side of a direct conversation. */
export function other(c: Conversation, me: string): { user_id: string; username: string; display_name: string } | undefined {
  return c.members.find((m) => m.user_id !== me) ?? c.members[0];
}

export function titleOf(c: Conversation, me: string): string {
  return c.title || (other(c, me)?.display_name ?? '');
}

/** The list of conversations: what each looks like from outside. */
export class Conversations {
  /** The list was fetched. */
  loaded = $state(false);
  #me: string;
  #byId = new SvelteMap<string, Conversation>();
  /** Most recent first. */
  readonly sorted = $derived(
    [...this.#byId.values()].sort((a, b) => Date.parse(b.last_entry_at) - Date.parse(a.last_entry_at) || (a.id < b.id ? 1 : -1)),
  );
  /** Unread messages in all of them. */
  readonly unread = $derived.by(() => {
    let sum = 0;
    for (const c of this.#byId.values()) sum += c.unread;
    return sum;
  });

  constructor(me: string) {
    this.#me = me;
  }

  get(id: string): Conversation | undefined {
    return this.#byId.get(id);
  }

  /** The direct conversation with somebody. */
  direct(user_id: string): Conversation | undefined {
    return this.sorted.find((c) => c.kind === 'direct' && c.members.some((m) => m.user_id === user_id && user_id !== this.#me));
  }

  /** How far each is known, for sync; the most recent ones if there are too many for a frame. */
  held(limit: number): Record<string, number> {
    return Object.fromEntries(this.sorted.slice(0, limit).map((c) => [c.id, c.last_seq]));
  }

  /** Takes a conversation as the server has it. Marks never go back. */
  put(c: Conversation): void {
    const old = this.#byId.get(c.id);
    if (old && old.last_seq > c.last_seq) return; // overtaken by an entry
    const read_seq = Math.max(old?.read_seq ?? 0, c.read_seq);
    let unread = c.unread;
    if (read_seq >= c.last_seq) unread = 0;
    // The server has not heard yet how far was read here.
    else if (old && read_seq > c.read_seq) unread = Math.min(unread, old.unread + c.last_seq - old.last_seq);
    this.#byId.set(c.id, { ...c, read_seq, unread });
  }

  clear(): void {
    this.#byId.clear();
    this.loaded = false;
  }

  /**
   * Takes a new entry of the log. Gives false if the conversation is not known, or
   * entries before this one are missing so that its count cannot be told: ask the server.
   */
  apply(e: Entry): boolean {
    const c = this.#byId.get(e.conversation_id);
    if (!c) return false;
    if (e.seq <= c.last_seq) return true;
    const mine = e.sender_id === this.#me;
    const message = e.kind === 'message';
    this.#byId.set(c.id, {
      ...c,
      last_seq: e.seq,
      last_entry_at: e.created_at,
      last_message: message ? e : c.last_message,
      // Who writes has read what is there.
      read_seq: mine ? e.seq : c.read_seq,
      unread: mine ? 0 : c.unread + (message ? 1 : 0),
    });
    return e.seq === c.last_seq + 1;
  }

  /** Marks as read up to seq; passed is how many messages of others that takes off the count. */
  read(id: string, seq: number, passed: number): void {
    const c = this.#byId.get(id);
    if (!c || seq <= c.read_seq) return;
    const unread = seq >= c.last_seq ? 0 : Math.max(0, c.unread - passed);
    this.#byId.set(id, { ...c, read_seq: seq, unread });
  }

  /** Takes a mark of one's own from another device. False: the count is the server's to tell. */
  receipt(r: Receipt): boolean {
    const c = this.#byId.get(r.conversation_id);
    if (!c || r.user_id !== this.#me || r.read_seq <= c.read_seq) return true;
    if (r.read_seq < c.last_seq && c.unread > 0) return false;
    this.read(c.id, r.read_seq, c.unread);
    return true;
  }
}
