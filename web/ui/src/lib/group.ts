import type { Message, Quote } from './api/types';

// How messages are laid out: under the day they were written on, runs of one author
// within a few minutes together.

/** Messages of one author this close together, in milliseconds, are one group. */
const groupWithin = 5 * 60_000;

/** A message that is not stored yet, or was just now. */
export interface Pending {
  client_id: string;
  conversation_id: string;
  body: string;
  reply_to?: number;
  /** What it answers, if that is known. */
  quote?: Quote;
  mentions?: string[];
  created_at: string;
  state: 'queued' | 'sent' | 'failed';
  /** Where it was stored; only with state sent. */
  seq?: number;
  /** Why it failed, as a code of the server. */
  code?: string;
  /** The same in the server's words. */
  detail?: string;
}

export interface Row {
  key: string;
  message: Message;
  /** The entries right before it that say the same of other members, or are folded like it: twenty additions are one line. */
  alike: Message[];
  /** Its text and that of those before it is not shown: their senders are blocked. */
  folded: boolean;
  pending: Pending | null;
  mine: boolean;
  /** First and last of its group. */
  first: boolean;
  last: boolean;
  /** The unread ones begin here. */
  divider: boolean;
}

const none: Message[] = []; // the same one, so that rows stay the same

export interface Day {
  /** As in 2026-03-01, in the local time zone. */
  key: string;
  rows: Row[];
}

/** The day of a moment in the local time zone, as in 2026-03-01. */
export function dayOf(time: Date): string {
  const pad = (n: number): string => String(n).padStart(2, '0');
  return `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
}

/**
 * Lays out stored messages and, after them, what is still on its way. unreadAfter is the
 * seq after which the unread ones begin, or null. Rows that are as they were are the same
 * objects as in the layout before, so that nothing of them is drawn again. Folds says which
 * messages are folded.
 */
export function arrange(messages: Message[], pending: Pending[], me: string, unreadAfter: number | null, before: Day[] = [], folds = (_: Message) => false): Day[] {
  const days: Day[] = [];
  let previous: Row | undefined;
  let divided = unreadAfter === null;
  const stored = new Set(messages.map((m) => m.client_id));
  const to = messages.at(-1)?.seq ?? 0;

  const add = (message: Message, waiting: Pending | null): void => {
    const mine = message.sender_id === me;
    const divider = !divided && !mine && message.kind === 'message' && message.seq > unreadAfter!;
    divided ||= divider;
    const row: Row = {
      // The same before and after it is stored, so that its element stays.
      key: mine && message.client_id ? message.client_id : String(message.seq),
      message,
      alike: none,
      folded: !mine && message.kind === 'message' && folds(message),
      pending: waiting,
      mine,
      first: true,
      last: true,
      divider,
    };
    const day = dayOf(new Date(message.created_at));
    const open = days.at(-1);
    // Clocks are not trusted for order: a day that went by does not come back.
    if (!open || day > open.key) days.push({ key: day, rows: [row] });
    else {
      if (previous && !divider && (alike(previous.message, message) || (previous.folded && row.folded))) {
        open.rows.pop();
        row.divider = previous.divider;
        row.alike = [...previous.alike, previous.message];
      } else if (previous && !divider && !previous.folded && !row.folded && together(previous.message, message)) {
        previous.last = false;
        row.first = false;
      }
      open.rows.push(row);
    }
    previous = row;
  };

  for (const message of messages) add(message, null);
  for (const p of pending) {
    if (stored.has(p.client_id) || (p.seq ?? Infinity) <= to) continue;
    const message: Message = {
      conversation_id: p.conversation_id,
      seq: p.seq ?? Infinity,
      kind: 'message',
      sender_id: me,
      client_id: p.client_id,
      created_at: p.created_at,
      body: p.body,
      ...(p.reply_to ? { reply_to: p.reply_to } : {}),
      ...(p.quote ? { quote: p.quote } : {}),
      ...(p.mentions ? { mentions: p.mentions } : {}),
    };
    add(message, p);
  }
  const old = new Map(before.flatMap((d) => d.rows.map((r) => [r.key, r])));
  for (const day of days) day.rows = day.rows.map((r) => same(old.get(r.key), r) ?? r);
  return days;
}

/** The row that shows an entry, alone or with others like it. */
export function rowWith(days: Day[], seq: number): Row | undefined {
  return days.flatMap((d) => d.rows).find((r) => r.message.seq === seq || r.alike.some((m) => m.seq === seq));
}

/** The old row, if the new one is no different. */
function same(a: Row | undefined, b: Row): Row | undefined {
  if (!a || a.alike.length !== b.alike.length || a.alike.some((m, i) => m !== b.alike[i])) return undefined;
  return (Object.keys(b) as (keyof Row)[]).every((k) => k === 'alike' || a[k] === b[k]) ? a : undefined;
}

/** Do two entries say the same of two people? The later one is what the row goes by: a page before it changes nothing. */
function alike(a: Message, b: Message): boolean {
  return (a.kind === 'member_added' || a.kind === 'member_removed') && a.kind === b.kind && a.sender_id === b.sender_id && near(a, b);
}

const near = (a: Message, b: Message): boolean => Math.abs(Date.parse(b.created_at) - Date.parse(a.created_at)) <= groupWithin;

function together(a: Message, b: Message): boolean {
  return (
    a.kind === 'message' &&
    b.kind === 'message' &&
    a.sender_id === b.sender_id &&
    near(a, b)
  );
}
