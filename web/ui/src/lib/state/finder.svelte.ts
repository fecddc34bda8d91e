import { asApiError, type ApiError } from '../api/errors';
import { http } from '../api/http';
import type { Conversation, User } from '../api/types';
import { rank } from '../search';
import { other, titleOf } from './conversations.svelte';
import type { Live } from './live.svelte';

/** Asked this long after the last key, in milliseconds. */
const settle = 150;
const maxConversations = 20;

/** Looks for people at the server while somebody types. */
export class PeopleSearch {
  people = $state.raw<User[]>([]);
  busy = $state(false);
  error = $state<ApiError | null>(null);
  #query = $state('');
  #limit: number;
  #asked = 0;
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
    this.#timer = setTimeout(() => void this.ask(), settle);
    this.busy = true;
  }

  /** Asks the server now. */
  async ask(): Promise<void> {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    this.busy = true;
    try {
      const people = await http.people(this.#query.trim(), this.#limit);
      if (asked !== this.#asked) return;
      this.people = people;
      this.error = null;
    } catch (err) {
      if (asked === this.#asked) this.error = asApiError(err);
    } finally {
      if (asked === this.#asked) this.busy = false;
    }
  }
}

export type Hit = { kind: 'conversation'; conversation: Conversation } | { kind: 'person'; user: User };

/** Looks for conversations here as well. */
export class Finder extends PeopleSearch {
  #live: Live;

  constructor(live: Live) {
    super(20);
    this.#live = live;
  }

  /** Conversations first, the best match before the most recent; then people with whom there is none yet. */
  readonly hits = $derived.by((): Hit[] => {
    const q = this.query.trim();
    const me = this.#live.me;
    const { sorted } = this.#live.conversations;
    const ranked = sorted
      .map((c) => ({ c, rank: Math.max(rank(q, titleOf(c, me)), c.kind === 'direct' ? rank(q, other(c, me)?.username ?? '') : 0) }))
      .filter((hit) => hit.rank > 0)
      .sort((a, b) => b.rank - a.rank); // stable: equals stay most recent first
    const conversations = ranked.slice(0, maxConversations).map(({ c }) => c);
    const known = new Set(conversations.filter((c) => c.kind === 'direct').map((c) => other(c, me)?.user_id));
    return [
      ...conversations.map((conversation): Hit => ({ kind: 'conversation', conversation })),
      ...this.people.filter((u) => u.id !== me && !known.has(u.id)).map((user): Hit => ({ kind: 'person', user })),
    ];
  });

  /** Opens what was chosen and gives its path. */
  async open(hit: Hit): Promise<string> {
    const id = hit.kind === 'conversation' ? hit.conversation.id : await this.#live.openDirect(hit.user.id);
    return `c/${id}`;
  }
}
