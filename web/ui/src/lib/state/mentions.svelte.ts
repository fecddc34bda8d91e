import { asApiError, type ApiError } from '../api/errors';
import type { Conversation, Member } from '../api/types';
import { completing, named, suggest } from '../text/mentions';

/** So many are offered at once. */
const offered = 8;
/** Those who were fetched this long ago, in milliseconds, are fetched again: people come and go. */
const stale = 5 * 60_000;
/** What failed is not tried again with every key. */
const patience = 3_000;

/** Naming the members of a group while writing: who fits what is typed, and who was named. */
export class Mentions {
  /** Those who fit what is being typed, best first. */
  matches = $state.raw<Member[]>([]);
  /** Which of them Enter chooses. */
  at = $state(0);
  error = $state<ApiError | null>(null);

  #me: string;
  #conversation: () => Conversation;
  #fetch: (id: string) => Promise<Member[]>;
  #members: Member[] | null = null;
  /** How many there were when they were fetched, and when that was. */
  #count = 0;
  #askedAt = -Infinity;
  #fetching = false;
  #text = '';
  #caret = 0;
  /** Where an @ stands whose completion was waved away. */
  #dismissed = -1;

  constructor(me: string, conversation: () => Conversation, fetch: (id: string) => Promise<Member[]>) {
    this.#me = me;
    this.#conversation = conversation;
    this.#fetch = fetch;
  }

  /** The text or the caret in it has changed. */
  look(text: string, caret: number): void {
    this.#text = text;
    this.#caret = caret;
    const word = this.#word();
    if (word?.from !== this.#dismissed) this.#dismissed = -1;
    // Also those that stand in a draft already have to be known when it is sent.
    if (text.includes('@')) void this.#load();
    this.#suggest();
  }

  #word(): ReturnType<typeof completing> {
    return this.#conversation().kind === 'group' ? completing(this.#text, this.#caret) : null;
  }

  #suggest(): void {
    const word = this.#word();
    const show = word !== null && word.from !== this.#dismissed;
    const people = show ? this.#people().filter((m) => m.user_id !== this.#me) : [];
    this.matches = suggest(people.map((m) => ({ ...m, id: m.user_id })), word?.query ?? '', offered);
    this.at = 0;
  }

  #people(): Member[] {
    return this.#members ?? this.#conversation().members;
  }

  async #load(): Promise<void> {
    const { id, kind, member_count } = this.#conversation();
    const age = Date.now() - this.#askedAt;
    const fresh = this.error ? age < patience : this.#members !== null && this.#count === member_count && age < stale;
    if (kind !== 'group' || this.#fetching || fresh) return;
    this.#fetching = true;
    this.#askedAt = Date.now();
    this.error = null;
    try {
      this.#members = await this.#fetch(id);
      this.#count = member_count;
      this.#suggest();
    } catch (err) {
      this.error = asApiError(err); // asked again as one types on
    } finally {
      this.#fetching = false;
    }
  }

  move(by: number): void {
    this.at = (this.at + by + this.matches.length) % this.matches.length;
  }

  /** The text with somebody in it, and where the caret is then. */
  choose(member: Member): { text: string; caret: number } {
    const from = this.#word()?.from ?? this.#caret;
    const before = `${this.#text.slice(0, from)}@${member.username} `;
    this.matches = [];
    return { text: before + this.#text.slice(this.#caret).replace(/^ /, ''), caret: before.length };
  }

  /** Not now; with the next key they are there again. */
  hide(): void {
    this.matches = [];
  }

  /** Not for this word. */
  dismiss(): void {
    this.#dismissed = this.#word()?.from ?? -1;
    this.hide();
  }

  /** The ids of the members whom a text names. */
  in(text: string): string[] {
    if (this.#conversation().kind !== 'group') return [];
    return named(text, this.#people().map((m) => ({ id: m.user_id, username: m.username })));
  }
}
