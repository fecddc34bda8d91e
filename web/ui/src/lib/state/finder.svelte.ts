import { asApiError, type ApiError } from '../api/errors';
import { http } from '../api/http';
import type { Conversation, User } from '../api/types';
import { fold, rank } from '../search';
import { other, titleOf } from './conversations.svelte';
import type { Live } from './live.svelte';

/** Asked this long after the last key, in milliseconds. */
const settle = 150;
const maxConversations = 20;

/** How well names match a text: as rank has it, and a whole word better than the beginning of one. */
export function fitOf(query: string, ...names: string[]): number {
  const q = fold(query.trim());
  const word = (name: string): boolean => q !== '' && fold(name).split(/[\s._-]+/).includes(q);
  return Math.max(0, ...names.map((name) => rank(query, name) + (word(name) ? 0.5 : 0)));
}

const fitOfUser = (query: string, u: User): number => fitOf(query, u.display_name, u.username);

/** Looks for people at the server while the user types. */
export class PeopleSearch {
  busy = $state(false);
  error = $state<ApiError | null>(null);
  #answer = $state.raw<User[]>([]);
  /** The text that the answer belongs to. */
  #answered = $state<string | null>(null);
  #query = $state('');
  #limit: number;
  #asked = 0;
  #taken = 0;
  #asking: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get query(): string {
    return this.#query;
  }

  set query(text: string) {
    this.#query = text;
    clearTimeout(this.#timer);
    this.#asking = null; // what is on its way answers another text
    this.#timer = setTimeout(() => void this.ask(), settle);
    this.busy = true;
  }

  /** Is the answer to the text in the box here? */
  get current(): boolean {
    return this.#answered === this.#query.trim() && this.error === null;
  }

  /** Those who match the text in the box, best first: of an older answer, those who do so by their names. */
  readonly people = $derived.by((): User[] => {
    const all = this.#answer.map((user) => ({ user, fit: fitOfUser(this.#query, user) }));
    const fitting = this.current ? all : all.filter(({ fit }) => fit > 0);
    return fitting.sort((a, b) => b.fit - a.fit).map(({ user }) => user); // stable: equals stay in the server's order
  });

  fit(user: User): number {
    return fitOfUser(this.#query, user);
  }

  /** Asks the server now. */
  ask(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asking = this.#ask(++this.#asked, this.#query.trim());
    return this.#asking;
  }

  /** Waits for the answer to the text in the box. Gives false if none came, or the text has changed meanwhile. */
  async settled(): Promise<boolean> {
    const text = this.#query;
    if (!this.current) await (this.#asking ?? this.ask());
    return text === this.#query && this.current;
  }

  async #ask(asked: number, text: string): Promise<void> {
    this.busy = true;
    try {
      const people = await http.people(text, this.#limit);
      if (asked < this.#taken) return;
      this.#taken = asked;
      this.#answer = people;
      this.#answered = text;
      this.error = null;
    } catch (err) {
      if (asked === this.#asked) this.error = asApiError(err);
    } finally {
      if (asked === this.#asked && this.#timer === undefined) {
        this.busy = false;
        this.#asking = null;
      }
    }
  }
}

export type Hit = { kind: 'conversation'; conversation: Conversation } | { kind: 'person'; user: User };

export const keyOfHit = (hit: Hit): string => (hit.kind === 'person' ? hit.user.id : hit.conversation.id);

/** Looks for conversations here as well. */
export class Finder extends PeopleSearch {
  #live: Live;

  constructor(live: Live) {
    super(20);
    this.#live = live;
  }

  /** Conversations first, the best match before the most recent; then people with whom there is none yet. */
  readonly hits = $derived.by((): Hit[] => {
    const me = this.#live.me;
    const { sorted } = this.#live.conversations;
    const ranked = sorted
      .map((c) => ({ c, fit: this.#fitOfConversation(c) }))
      .filter((hit) => hit.fit > 0)
      .sort((a, b) => b.fit - a.fit); // stable: equals stay most recent first
    const conversations = ranked.slice(0, maxConversations).map(({ c }) => c);
    const known = new Set(conversations.filter((c) => c.kind === 'direct').map((c) => other(c, me)?.user_id));
    return [
      ...conversations.map((conversation): Hit => ({ kind: 'conversation', conversation })),
      ...this.people.filter((u) => u.id !== me && !known.has(u.id)).map((user): Hit => ({ kind: 'person', user })),
    ];
  });

  fitOfHit(hit: Hit): number {
    return hit.kind === 'person' ? this.fit(hit.user) : this.#fitOfConversation(hit.conversation);
  }

  #fitOfConversation(c: Conversation): number {
    const { me } = this.#live;
    return fitOf(this.query, titleOf(c, me), c.kind === 'direct' ? (other(c, me)?.username ?? '') : '');
  }

  /** The path of what was chosen. */
  path(hit: Hit): string {
    if (hit.kind === 'conversation') return `c/${hit.conversation.id}`;
    this.#live.people.put([hit.user]);
    return this.#live.pathTo(hit.user.id);
  }
}
