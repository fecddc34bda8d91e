import type { Conversation, Entries, Entry, Message, Page } from '../src/lib/api/types';
import type { Bound } from '../src/lib/api/http';
import { fold } from '../src/lib/state/fold';
import type { LogSource } from '../src/lib/state/log.svelte';

// Things of the server, for tests.

export const me = 'me';
export const you = 'you';

export function message(seq: number, o: Partial<Message> = {}): Message {
  return {
    conversation_id: 'c',
    seq,
    kind: 'message',
    sender_id: you,
    client_id: `client-${seq}`,
    created_at: new Date(Date.UTC(2026, 0, 1, 0, 0, seq)).toISOString(),
    body: `text ${seq}`,
    ...o,
  };
}

/** An entry that changes a message. */
export const action = (seq: number, kind: Entry['kind'], target_seq: number, o: Partial<Entry> = {}): Entry => ({
  conversation_id: 'c',
  seq,
  kind,
  sender_id: you,
  created_at: new Date(Date.UTC(2026, 0, 1, 0, 0, seq)).toISOString(),
  target_seq,
  ...o,
});

export const range = (from: number, to: number): Message[] => Array.from({ length: to - from + 1 }, (_, i) => message(from + i));

export const seqs = (rows: { seq: number }[]): number[] => rows.map((r) => r.seq);

export function conversation(o: Partial<Conversation> = {}): Conversation {
  const member = { role: 'member' as const };
  return {
    id: 'c',
    kind: 'direct',
    title: '',
    role: 'member',
    share_history: false,
    last_seq: 1,
    last_entry_at: '2026-01-01T00:00:00Z',
    members: [
      { ...member, user_id: me, username: 'me', display_name: 'Me' },
      { ...member, user_id: you, username: 'you', display_name: 'You' },
    ],
    member_count: 2,
    unread: 0,
    unread_mentions: 0,
    delivered_seq: 0,
    read_seq: 0,
    notify: 'all',
    muted_until: null,
    blocked: false,
    accepted: true,
    archived: false,
    others_delivered_seq: 0,
    others_read_seq: 0,
    last_message: null,
    ...o,
  };
}

/** A server with a log that grows; answers wait until they are let go. */
export class FakeServer implements LogSource {
  asked: string[] = [];
  fail = false;
  hold: Promise<void> | null = null;

  /** What happened to messages, by seq; every other seq is a message. */
  actions = new Map<number, Entry>();

  constructor(public last: number) {}

  #entries(from: number, to: number): Entry[] {
    return range(from, to).map((m) => this.actions.get(m.seq) ?? m);
  }

  async page(bound: Bound, limit: number): Promise<Page> {
    this.asked.push(`page ${JSON.stringify(bound)}`);
    const { last } = this;
    await this.hold;
    if (this.fail) throw new Error('no answer');
    let from = Math.max(1, last - limit + 1);
    let to = last;
    if (bound.before !== undefined) [from, to] = [Math.max(1, bound.before - limit), bound.before - 1];
    if (bound.after !== undefined) [from, to] = [bound.after + 1, Math.min(last, bound.after + limit)];
    if (bound.around !== undefined) {
      const half = Math.floor(limit / 2);
      [from, to] = [Math.max(1, bound.around - half), Math.min(last, bound.around - half + limit - 1)];
    }
    const actions = [...this.actions.values()].filter((a) => a.seq <= last);
    const messages = actions.reduce(fold, this.#entries(from, to).filter((e) => !this.actions.has(e.seq)) as Message[]);
    return { messages, has_before: from > 1, has_after: to < last, last_seq: last };
  }

  async entries(after: number, limit: number): Promise<Entries> {
    this.asked.push(`entries ${after}`);
    const { last } = this;
    await this.hold;
    if (this.fail) throw new Error('no answer');
    return { entries: this.#entries(after + 1, Math.min(last, after + limit)), last_seq: last };
  }
}
