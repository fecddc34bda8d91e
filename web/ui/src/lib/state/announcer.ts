import { close, present, show, type Payload } from '../../../worker/payload';
import { asApiError } from '../api/errors';
import type { Conversation, Entry } from '../api/types';
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

export class Announcer {
  #live: Pick<Live, 'me' | 'conversations' | 'people'>;
  #known = new Map<string, number>();
  #announced = new Map<string, number>();
  #waiting = new Map<string, Entry[]>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(live: Pick<Live, 'me' | 'conversations' | 'people'>) {
    this.#live = live;
  }

  /** Up to a seq a conversation is no news; it may come again all the same. */
  knows(id: string, seq: number): void {
    this.#known.set(id, Math.max(seq, this.#known.get(id) ?? 0));
  }

  /** Takes an entry that came. */
  hear(e: Entry): void {
    const id = e.conversation_id;
    if (e.seq <= (this.#known.get(id) ?? 0)) return;
    this.knows(id, e.seq);
    const { me, people } = this.#live;
    if (e.kind !== 'message' || e.deleted || e.sender_id === me || looking() || !wanted(me)) return;
    people.get(e.sender_id); // asked for, if need be
    this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), e]);
    this.#timer ??= setTimeout(() => this.#flush(), settle);
  }

  /** Was what is pushed announced here, whether it can still be seen or not? */
  did({ conversation_id, seq }: Pick<Payload, 'conversation_id' | 'seq'>): boolean {
    return (this.#announced.get(conversation_id ?? '') ?? 0) >= (seq ?? Infinity);
  }

  /** What was known may never have happened. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#known.clear();
    this.#announced.clear();
    this.#waiting.clear();
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
    const { me, conversations } = this.#live;
    const shown = await present(registration, id, (shown) => {
      const c = conversations.get(id);
      if (this.#over || !c || looking() || !wanted(me)) return null;
      const old = shown && (shown.seq ?? 0) > c.read_seq ? shown : undefined;
      const after = old?.seq ?? c.read_seq;
      const fresh = entries.filter((e) => e.seq > after && isTold(c, e, me));
      const last = fresh.at(-1);
      return last ? show(this.#payload(c, last, (old?.count ?? 0) + fresh.length), old, false) : null; // another page was first
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

  #payload(c: Conversation, e: Entry, count: number): Payload {
    const several = count > 1 ? t.push.several(count) : '';
    const unread = this.#live.conversations.told(Date.now());
    const about = { type: 'message', conversation_id: c.id, seq: e.seq, count, unread, tag: c.id, at: e.created_at, page: true };
    if (session.me?.push_content !== 'full') return { ...about, title: t.app, body: several || t.push.one };
    const sender = c.kind === 'group' ? this.#live.people.label(e.sender_id) : '';
    const text = (sender && `${sender}: `) + cut(plain(e.body ?? '', this.#live.people.mentioned(e.mentions, this.#live.me)), longest);
    return { ...about, title: this.#titleOf(c), body: several ? `${several}\n${text}` : text };
  }
}
