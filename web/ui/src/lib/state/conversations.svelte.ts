import { SvelteMap } from 'svelte/reactivity';
import type { Conversation, Entry, EntryMark, Member, Message, Receipt, User } from '../api/types';
import { isQuiet } from '../notify';
import { Marks } from './marks.svelte';
import { shownAs } from './people.svelte';

/** A group in the list names this many of its members. */
const namedMembers = 5;

/** The person at the other side of a direct conversation. */
export function other(c: Conversation, me: string): Member | undefined {
  return c.members.find((m) => m.user_id !== me) ?? c.members[0];
}

export function titleOf(c: Conversation, me: string): string {
  return c.title || (other(c, me)?.display_name ?? '');
}

/** Whose picture stands for a conversation: the other person's, or the group's own. */
export function faceOf(c: Conversation, me: string): { id: string; name: string; group: boolean } {
  const group = c.kind === 'group';
  return { id: group ? c.id : (other(c, me)?.user_id ?? c.id), name: titleOf(c, me), group };
}

/** Does the user still have to say whether they want it? A block is an answer too. */
export const isRequest = (c: Conversation | undefined): boolean => c?.accepted === false && !c.blocked;

/** The list of conversations: what each looks like from outside. */
export class Conversations {
  /** The list was fetched. */
  loaded = $state(false);
  #me: string;
  #byId = new SvelteMap<string, Conversation>();
  /** Of the others, by conversation. */
  #marks = new SvelteMap<string, Marks>();
  /** Those one is no longer in, and the entry that ended it. */
  #left = new SvelteMap<string, Entry>();
  /** The last entry that came of each. */
  #lastEntries = new Map<string, EntryMark>();
  /** Most recent first. */
  readonly sorted = $derived(
    [...this.#byId.values()]
      .map((c) => ({ c, at: Date.parse(c.last_entry_at) })) // once each, not in every comparison
      .sort((a, b) => b.at - a.at || (a.c.id < b.c.id ? 1 : -1))
      .map(({ c }) => c),
  );
  /** Changes whenever something was read, here or elsewhere. */
  readonly readings = $derived.by(() => {
    let sum = 0;
    for (const c of this.#byId.values()) sum += c.read_seq;
    return sum;
  });

  constructor(me: string) {
    this.#me = me;
  }

  /** Unread messages in those that one wants to be told of, at a time. */
  told(now: number): number {
    let sum = 0;
    for (const c of this.#byId.values()) if (!c.archived && !isQuiet(c, now)) sum += c.unread;
    return sum;
  }

  get(id: string): Conversation | undefined {
    return this.#byId.get(id);
  }

  /** How far the others have a conversation. */
  marks(id: string): Marks | undefined {
    return this.#marks.get(id);
  }

  /** The direct conversation with somebody. */
  direct(user_id: string): Conversation | undefined {
    return this.sorted.find((c) => c.kind === 'direct' && c.members.some((m) => m.user_id === user_id && user_id !== this.#me));
  }

  /** What put an end to being in a conversation: one was removed, or left. */
  left(id: string): Entry | undefined {
    return this.#left.get(id);
  }

  /** Takes a group that one left earlier, to look at what one had of it, with the entry that ended it. */
  recall(c: Conversation, ended: Entry): void {
    if (this.#byId.has(c.id)) return; // one is back, or has not looked away yet
    this.#byId.set(c.id, c);
    this.#left.set(c.id, ended);
  }

  /** Takes one that was left off the list; until then its end can be seen there. */
  dismiss(id: string): void {
    if (this.#left.has(id)) this.forget(id);
  }

  /** How far each is known, for sync; by id, because a sync that names too many is made in parts. */
  held(): [id: string, seq: number][] {
    const here = this.sorted.filter((c) => !this.#left.has(c.id)); // of the others nothing more comes
    return here.map((c): [string, number] => [c.id, c.last_seq]).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** An entry that is held of each, the last one if possible, by which the server notices that its log went another way. */
  lastEntries(ids: readonly string[]): Record<string, EntryMark> {
    const marks: Record<string, EntryMark> = {};
    for (const id of ids) {
      const mark = this.#lastEntries.get(id) ?? this.#byId.get(id)?.last_message;
      if (mark) marks[id] = { seq: mark.seq, created_at: mark.created_at };
    }
    return marks;
  }

  /** Drops what is held of a conversation: the server has another log of it. */
  forget(id: string): void {
    this.#byId.delete(id);
    this.#marks.delete(id);
    this.#left.delete(id);
    this.#lastEntries.delete(id);
  }

  /** Takes a conversation as the server has it. Marks never go back. */
  put(c: Conversation): void {
    this.#raise(c, { delivered_seq: c.others_delivered_seq, read_seq: c.others_read_seq });
    const old = this.#byId.get(c.id);
    if (old && old.last_seq > c.last_seq) {
      // Overtaken by an entry, which says nothing of these. It does of being archived.
      const { notify, muted_until, blocked } = c;
      const accepted = old.accepted || c.accepted;
      if (old.notify !== notify || old.muted_until !== muted_until || old.blocked !== blocked || old.accepted !== accepted) {
        this.#byId.set(c.id, { ...old, notify, muted_until, blocked, accepted });
      }
      return;
    }
    const ended = this.#left.get(c.id);
    if (ended && c.last_seq <= ended.seq) return; // asked for before that
    this.#left.delete(c.id); // or one is back
    const read_seq = Math.max(old?.read_seq ?? 0, c.read_seq);
    let { unread, unread_mentions } = c;
    if (read_seq >= c.last_seq) unread = 0;
    // The server has not heard yet how far was read here.
    else if (old && read_seq > c.read_seq) {
      const since = c.last_seq - old.last_seq;
      unread = Math.min(unread, old.unread + since);
      unread_mentions = Math.min(unread_mentions, old.unread_mentions + since);
    }
    // An answer from before the user wrote does not take the acceptance back.
    const accepted = c.accepted || (old?.accepted ?? false);
    this.#byId.set(c.id, { ...c, members: c.members.map(shownAs), accepted, read_seq, unread, unread_mentions: Math.min(unread, unread_mentions) });
  }

  /** Takes what the server was asked to change, before its event comes. */
  change(id: string, change: Partial<Pick<Conversation, 'accepted' | 'blocked'>>): void {
    const c = this.#byId.get(id);
    if (c) this.#byId.set(id, { ...c, ...change });
  }

  /** Somebody is called something else from now on. */
  renamed(user: User): void {
    const { id, username, display_name, deleted } = shownAs(user);
    for (const c of this.#byId.values()) {
      if (!c.members.some((m) => m.user_id === id && m.display_name !== display_name)) continue;
      const members = c.members.map((m) => (m.user_id === id ? { ...m, username, display_name, ...(deleted ? { deleted } : {}) } : m));
      this.#byId.set(c.id, { ...c, members });
    }
  }

  clear(): void {
    this.#byId.clear();
    this.#marks.clear();
    this.#left.clear();
    this.#lastEntries.clear();
    this.loaded = false;
  }

  /**
   * Takes a new entry of the log. Gives false if the conversation is not known, or its
   * counts cannot be told from this entry: ask the server.
   */
  apply(e: Entry): boolean {
    const c = this.#byId.get(e.conversation_id);
    const ends = (e.kind === 'member_removed' || e.kind === 'member_left') && e.user_id === this.#me;
    if (!c) return ends; // the server would not know it either
    if (e.seq <= c.last_seq) return true;
    const [changed, certain] = this.#change(c, e);
    this.#byId.set(c.id, { ...changed, last_seq: e.seq, archived: false });
    this.#lastEntries.set(c.id, { seq: e.seq, created_at: e.created_at });
    if (ends) this.#left.set(c.id, e);
    return ends || (certain && e.seq === c.last_seq + 1);
  }

  /** What an entry changes, and whether that is all of it. */
  #change(c: Conversation, e: Entry): [Conversation, certain: boolean] {
    const seen = { ...c, last_entry_at: e.created_at };
    switch (e.kind) {
      case 'message': {
        // Who writes has read what is there.
        if (e.sender_id === this.#me) return [{ ...seen, last_message: e, read_seq: e.seq, unread: 0, unread_mentions: 0, accepted: true }, true];
        const named = e.mentions?.includes(this.#me) ? 1 : 0;
        return [{ ...seen, last_message: e, unread: c.unread + (e.deleted ? 0 : 1), unread_mentions: c.unread_mentions + named }, true];
      }
      case 'delete': {
        const last = c.last_message;
        if (!last || last.seq !== e.target_seq) return [c, e.target_seq! <= c.read_seq || c.unread === 0];
        // A deleted message is not unread. Others than the last one are not held: the server counts.
        const counted = last.seq > c.read_seq && !last.deleted && last.sender_id !== this.#me;
        const gone = { ...c, last_message: changeMessage(last, e), unread: Math.max(0, c.unread - (counted ? 1 : 0)) };
        return [gone, !counted || c.unread_mentions === 0];
      }
      case 'edit': {
        // An unread one may name me now or no longer; what it was like before is not held.
        const counts = e.target_seq! > c.read_seq && (c.unread_mentions > 0 || e.mentions?.includes(this.#me) === true);
        const last = c.last_message;
        return [last?.seq === e.target_seq ? { ...c, last_message: changeMessage(last!, e) } : c, !counts];
      }
      case 'messages_erased': {
        const last = c.last_message;
        // Which of the unread ones they were is not held: the server counts.
        return [last?.sender_id === e.user_id ? { ...c, last_message: changeMessage(last!, { ...e, kind: 'delete' }) } : c, c.unread === 0];
      }
      case 'reaction_added':
      case 'reaction_removed':
        return [c, true]; // the list does not show them
      case 'title_changed':
        return [{ ...seen, title: e.title ?? c.title }, true];
      case 'role_changed': {
        const role = e.role ?? 'member';
        const members = c.members.map((m) => (m.user_id === e.user_id ? { ...m, role } : m));
        return [{ ...seen, members, role: e.user_id === this.#me ? role : c.role }, true];
      }
      case 'member_added': {
        const members = [...c.members];
        // What they are called is for People to know.
        if (members.length < namedMembers) members.push({ user_id: e.user_id!, role: 'member', username: '', display_name: '' });
        return [{ ...seen, members, member_count: c.member_count + 1 }, true];
      }
      case 'member_removed':
      case 'member_left':
        return [{ ...seen, members: c.members.filter((m) => m.user_id !== e.user_id), member_count: c.member_count - 1 }, true];
      default:
        return [seen, true];
    }
  }

  /**
   * Marks as read up to seq; passed is how many messages of others that takes off the
   * count, and named how many of them mention oneself.
   */
  read(id: string, seq: number, passed: number, named = 0): void {
    const c = this.#byId.get(id);
    if (!c || seq <= c.read_seq) return;
    const unread = seq >= c.last_seq ? 0 : Math.max(0, c.unread - passed);
    const unread_mentions = Math.min(unread, Math.max(0, c.unread_mentions - named));
    this.#byId.set(id, { ...c, read_seq: seq, unread, unread_mentions });
  }

  #raise({ id, member_count }: Conversation, to: Pick<Receipt, 'delivered_seq' | 'read_seq'>): void {
    if (member_count === 1) return; // everybody has what nobody was sent
    let marks = this.#marks.get(id);
    if (!marks) this.#marks.set(id, (marks = new Marks()));
    marks.raise(to);
  }

  /** Takes a mark of the others, or of one's own from another device. False: the count is the server's to tell. */
  receipt(r: Receipt): boolean {
    const c = this.#byId.get(r.conversation_id);
    if (c && r.user_id !== this.#me) this.#raise(c, r);
    if (!c || r.user_id !== this.#me || r.read_seq <= c.read_seq) return true;
    if (r.read_seq < c.last_seq && c.unread > 0) return false;
    this.read(c.id, r.read_seq, c.unread);
    return true;
  }
}

/** A message after it was edited or deleted. */
function changeMessage(m: Message, e: Entry): Message {
  const { body: _body, mentions: _mentions, ...bare } = m;
  if (e.kind === 'delete') return { ...bare, deleted: true, ...(e.by_admin ? { by_admin: true } : {}) };
  if (m.deleted) return m;
  return { ...bare, body: e.body ?? '', ...(e.mentions ? { mentions: e.mentions } : {}), edited_at: e.created_at };
}
