import type { Entry, EntryKind, Message, Quote, Reaction } from '../api/types';
import { cut } from '../text/graphemes';
import { canonicalEmoji } from '../text/identity';

// What later entries do to a message. Every one of them may come again, after others of
// its kind too, as long as all of them come once more in order: then the outcome is the
// server's.

const actions: ReadonlySet<EntryKind> = new Set<EntryKind>(['edit', 'delete', 'reaction_added', 'reaction_removed', 'messages_erased']);

/** Does it change a message, rather than being a row of its own? */
export const isAction = (e: Entry): boolean => actions.has(e.kind);

/** A quote has at most so many characters. */
const maxQuote = 200;

export const quoteOf = (m: Message): Quote => ({
  seq: m.seq,
  sender_id: m.sender_id,
  body: cut(m.body ?? '', maxQuote),
  deleted: m.deleted ?? false,
  ...(m.mentions?.length ? { mentions: m.mentions } : {}),
});

/** The rows after an action on one of them, which those that answer it quote. */
export function fold(rows: Message[], e: Entry): Message[] {
  if (!isAction(e)) return rows;
  let changed = false;
  const after = rows.map((row) => {
    let m = row;
    if (e.kind === 'messages_erased') {
      if (m.sender_id === e.user_id && m.seq < e.seq) m = act(m, { ...e, kind: 'delete' });
      if (m.quote) m = requote(m, e);
      changed ||= m !== row;
      return m;
    }
    if (m.seq === e.target_seq) m = act(m, e);
    if (m.quote?.seq === e.target_seq) m = requote(m, e);
    changed ||= m !== row;
    return m;
  });
  return changed ? after : rows;
}

/** One message after an action on it; the same object if that changes nothing. */
function act(m: Message, e: Entry): Message {
  if (m.kind !== 'message' || m.deleted) return m; // what is deleted stays so
  switch (e.kind) {
    case 'edit': {
      if (m.body === e.body && m.edited_at === e.created_at) return m;
      const { mentions: _, ...rest } = m;
      return { ...rest, body: e.body ?? '', edited_at: e.created_at, ...(e.mentions ? { mentions: e.mentions } : {}) };
    }
    case 'delete': {
      const { body: _b, mentions: _m, reactions: _r, edited_at: _e, ...rest } = m;
      return { ...rest, deleted: true, ...(e.by_admin ? { by_admin: true } : {}) };
    }
    default: {
      const reactions = react(m.reactions ?? [], canonicalEmoji(e.emoji ?? ''), e.sender_id, e.kind === 'reaction_added');
      return reactions === m.reactions || (reactions.length === 0 && !m.reactions) ? m : { ...m, reactions };
    }
  }
}

function react(reactions: Reaction[], emoji: string, user_id: string, on: boolean): Reaction[] {
  const has = reactions.find((r) => r.emoji === emoji);
  if (on === (has?.user_ids.includes(user_id) ?? false)) return reactions;
  if (!has) return [...reactions, { emoji, user_ids: [user_id] }];
  return reactions
    .map((r) => (r !== has ? r : { emoji, user_ids: on ? [...r.user_ids, user_id] : r.user_ids.filter((id) => id !== user_id) }))
    .filter((r) => r.user_ids.length > 0);
}

/** A message that answers the one an action is about. */
function requote(m: Message, e: Entry): Message {
  const quote = actOnQuote(m.quote!, e);
  return quote === m.quote ? m : { ...m, quote };
}

/** A quote after an action on the message it is of. */
export function actOnQuote(q: Quote, e: Entry): Quote {
  if (e.kind === 'messages_erased') {
    if (q.sender_id !== e.user_id || q.seq > e.seq) return q;
    e = { ...e, kind: 'delete' };
  }
  if (q.deleted || (e.kind !== 'edit' && e.kind !== 'delete')) return q;
  const after = quoteOf({ ...e, seq: q.seq, sender_id: q.sender_id, deleted: e.kind === 'delete' });
  const same = after.body === q.body && after.deleted === q.deleted && String(after.mentions ?? '') === String(q.mentions ?? '');
  return same ? q : after;
}
