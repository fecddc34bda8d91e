import { close, present, show, type Payload } from '../../../worker/payload';
import { asApiError } from '../api/errors';
import type { Conversation, Entry } from '../api/types';
import { serverNow } from '../clock';
import { t } from '../i18n';
import { looking } from '../looking';
import { isTold } from '../notify';
import { cut } from '../text/graphemes';
import { plain } from '../text/plain';
import { wanted } from '../turned-on';
import { other, titleOf } from './conversations.svelte';
import type { Live } from './live.svelte';
import { session } from './session.svelte';

// For what a page has the server owes no notification, at least not at once. So a page that
// nobody looks at shows it itself: as the worker shows what is pushed, in the same words, and
// in its place. What is pushed later of the same then changes nothing.

/**
 * So long, in milliseconds, a message waits: whoever has its conversation open elsewhere has
 * read it by then, and what is said in one go is announced once.
 */
const settle = 1_000;
/** So many characters of a message are shown; the server pushes as many. */
const longest = 1_000;
/** So many messages of a conversation are kept, in case one is edited or deleted. */
const mostKept = 100;

/** The seq of the message whose text a notification shows. */
const textOf = (shown: Partial<Payload>): number | undefined => shown.of ?? shown.seq;

export class Announcer {
  #live: Pick<Live, 'me' | 'conversations' | 'people' | 'blocks'>;
  #known = new Map<string, number>();
  #announced = new Map<string, number>();
  #waiting = new Map<string, Entry[]>();
  /** What waits and what was announced, by conversation, as it reads by now. */
  #kept = new Map<string, Entry[]>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(live: Pick<Live, 'me' | 'conversations' | 'people' | 'blocks'>) {
    this.#live = live;
  }

  /** Up to a seq a conversation is no news; it may come again all the same. */
  knows(id: string, seq: number): void {
    this.#known.set(id, Math.max(seq, this.#known.get(id) ?? 0));
  }

  /** Takes an entry that came. */
  hear(e: Entry): void {
    const id = e.conversation_id;
    if (e.kind === 'edit' || e.kind === 'delete') this.#change(e);
    if (e.kind === 'messages_erased') this.#erase(e);
    if (e.seq <= (this.#known.get(id) ?? 0)) return;
    this.knows(id, e.seq);
    const { me, people } = this.#live;
    if (e.kind !== 'message' || e.deleted || e.sender_id === me || looking() || !wanted(me)) return;
    people.get(e.sender_id); // asked for, if need be
    const copy = { ...e };
    this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), copy]);
    this.#kept.set(id, [...(this.#kept.get(id) ?? []), copy].slice(-mostKept));
    this.#timer ??= setTimeout(() => this.#flush(), settle);
  }

  /** Was what is pushed announced here, whether it can still be seen or not? */
  did({ conversation_id, seq }: Pick<Payload, 'conversation_id' | 'seq'>): boolean {
    return (this.#announced.get(conversation_id ?? '') ?? 0) >= (seq ?? Infinity);
  }

  /** The server has another log of a conversation: its seqs begin anew. */
  forget(id: string): void {
    for (const of of [this.#known, this.#announced, this.#waiting, this.#kept]) of.delete(id);
  }

  /** What was known may never have happened. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#known.clear();
    this.#announced.clear();
    this.#waiting.clear();
    this.#kept.clear();
  }

  stop(): void {
    this.#over = true;
    this.clear();
  }

  #flush(): void {
    this.#timer = undefined;
    for (const [id, entries] of this.#waiting) void this.#announce(id, entries).catch(asApiError);
    this.#waiting.clear();
  }

  async #announce(id: string, entries: Entry[]): Promise<void> {
    const registration = await navigator.serviceWorker.getRegistration();
    if (!registration) return;
    const { me, conversations, blocks } = this.#live;
    const shown = await present(registration, id, (shown) => {
      const c = conversations.get(id);
      if (this.#over || !c || looking() || !wanted(me)) return null;
      const old = shown && (shown.seq ?? 0) > c.read_seq ? shown : undefined;
      const after = old?.seq ?? c.read_seq;
      const fresh = entries.filter((e) => e.seq > after && !e.deleted && !blocks.has(e.sender_id) && isTold(c, e, me));
      const last = fresh.at(-1);
      if (!last) return null; // another page was first, or it was deleted
      const seqs = [...(old?.seqs ?? []), ...fresh.map((e) => e.seq)].slice(-mostKept);
      return show({ ...this.#payload(c, last, (old?.count ?? 0) + fresh.length), seqs }, old, false);
    });
    if (!shown) return;
    this.#announced.set(id, shown.seq!);
    // Nobody closes what was read before it was to be seen.
    const read = conversations.get(id)?.read_seq ?? 0;
    if (this.#over || read >= shown.seq!) await close(registration, () => true, id);
  }

  /** As the list shows it, with the username of a person whose name is another one's too. */
  #titleOf(c: Conversation): string {
    const { me, people } = this.#live;
    return (c.kind === 'direct' && people.label(other(c, me)?.user_id ?? '')) || titleOf(c, me);
  }

  /** Looks at what is shown when the list was fetched: what happened to it while no page was open. */
  async listed(): Promise<void> {
    const registration = await this.#registration();
    for (const n of (await registration?.getNotifications?.()) ?? []) {
      const shown = (n.data ?? {}) as Partial<Payload>;
      const m = this.#live.conversations.get(shown.conversation_id ?? '')?.last_message;
      if (!m || m.seq !== textOf(shown) || !(m.deleted || m.edited_at)) continue;
      await this.#revise({ ...m, kind: m.deleted ? 'delete' : 'edit', target_seq: m.seq });
    }
  }

  /** A message was edited or deleted: so is what waits and what is shown. */
  #change(e: Entry): void {
    for (const m of this.#kept.get(e.conversation_id) ?? []) {
      if (m.seq !== e.target_seq) continue;
      if (e.kind === 'delete') m.deleted = true;
      else Object.assign(m, { body: e.body, mentions: e.mentions });
    }
    void this.#revise(e).catch(asApiError);
  }

  /** The texts of a deleted user are gone: those that were announced, and the last one, pushed while no page was open. */
  #erase(e: Entry): void {
    const theirs = (this.#kept.get(e.conversation_id) ?? []).filter((m) => m.sender_id === e.user_id);
    for (const m of theirs) this.#change({ ...e, kind: 'delete', target_seq: m.seq });
    void this.listed().catch(asApiError);
  }

  /** Takes the text of a deleted message out of the notification, or puts that of an edited one in, without a sound. */
  async #revise(e: Entry): Promise<void> {
    const registration = await this.#registration();
    if (!registration) return;
    const id = e.conversation_id;
    await present(registration, id, (shown) => {
      const c = this.#live.conversations.get(id);
      if (this.#over || !c || !shown) return null;
      const count = shown.count ?? 1;
      const target = e.target_seq!;
      const kept = (seq: number): Entry | undefined => this.#kept.get(id)?.find((m) => m.seq === seq && !m.deleted);
      /** The notification with another text, or none; what else it says stays. */
      const revised = (m: Entry | undefined, count: number, seqs = shown.seqs): Payload => ({
        ...shown,
        ...(m ? this.#payload(c, m, count) : { body: count > 1 ? t.push.several(count) : t.push.one, count }),
        seq: shown.seq!,
        of: m?.seq ?? 0,
        ...(seqs ? { seqs } : {}),
        ...(shown.page ? {} : { page: undefined }),
      });
      if (e.kind === 'edit') {
        if (textOf(shown) !== target || session.me?.push_content !== 'full') return null;
        return { payload: revised({ ...e, seq: target, created_at: shown.at }, count), again: false };
      }
      if (textOf(shown) !== target && !shown.seqs?.includes(target)) return null;
      if (count <= 1) return 'close';
      const seqs = shown.seqs?.filter((seq) => seq !== target);
      const last = textOf(shown) !== target ? kept(textOf(shown)!) : seqs?.map(kept).findLast((m) => m);
      return { payload: revised(last, count - 1, seqs), again: false };
    });
  }

  async #registration(): Promise<ServiceWorkerRegistration | undefined> {
    return wanted(this.#live.me) ? navigator.serviceWorker?.getRegistration() : undefined;
  }

  #payload(c: Conversation, e: Entry, count: number): Payload {
    const several = count > 1 ? t.push.several(count) : '';
    const unread = this.#live.conversations.told(serverNow());
    const about = { type: 'message', conversation_id: c.id, seq: e.seq, count, unread, tag: c.id, at: e.created_at, page: true };
    if (session.me?.push_content !== 'full') return { ...about, title: t.app, body: several || t.push.one };
    const sender = c.kind === 'group' ? this.#live.people.label(e.sender_id) : '';
    const text = (sender && `${sender}: `) + cut(plain(e.body ?? '', this.#live.people.mentioned(e.mentions, this.#live.me)), longest);
    return { ...about, title: this.#titleOf(c), body: several ? `${several}\n${text}` : text };
  }
}
