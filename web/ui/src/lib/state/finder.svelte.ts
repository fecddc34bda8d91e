import { asApiError, type ApiError } from '../api/errors';
import { http } from '../api/http';
import type { Conversation, User } from '../api/types';
import { other, titleOf } from './conversations.svelte';
import type { Live } from './live.svelte';

/** Asked this long after the last key, in milliseconds. */
const settle = 150;
const maxPeople = 20;
const maxConversations = 20;

export type Hit = { kind: 'conversation'; conversation: Conversation } | { kind: 'person'; user: User };

const fold = (s: string): string => s.normalize('NFD').replace(/\p{M}/gu, '').toLocaleLowerCase();

/** Does every word of the query begin a word of the text? */
export function matches(query: string, text: string): boolean {
  const words = fold(text).split(/[\s._-]+/);
  const whole = fold(text);
  return fold(query)
    .split(/\s+/)
    .every((q) => whole.startsWith(q) || words.some((w) => w.startsWith(q)));
}

/** Looks for conversations here and for people at the server. */
export class Finder {
  people = $state.raw<User[]>([]);
  busy = $state(false);
  error = $state<ApiError | null>(null);
  #query = $state('');
  #live: Live;
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(live: Live) {
    this.#live = live;
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

  /** Conversations first, then people with whom there is none yet. */
  readonly hits = $derived.by((): Hit[] => {
    const q = this.#query.trim();
    const me = this.#live.me;
    const conversations = this.#live.conversations.sorted
      .filter((c) => q === '' || matches(q, titleOf(c, me)) || (c.kind === 'direct' && matches(q, other(c, me)?.username ?? '')))
      .slice(0, maxConversations);
    const known = new Set(conversations.filter((c) => c.kind === 'direct').map((c) => other(c, me)?.user_id));
    return [
      ...conversations.map((conversation): Hit => ({ kind: 'conversation', conversation })),
      ...this.people.filter((u) => u.id !== me && !known.has(u.id)).map((user): Hit => ({ kind: 'person', user })),
    ];
  });

  /** Asks the server now. */
  async ask(): Promise<void> {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    this.busy = true;
    try {
      const people = await http.people(this.#query.trim(), maxPeople);
      if (asked !== this.#asked) return;
      this.people = people;
      this.error = null;
    } catch (err) {
      if (asked === this.#asked) this.error = asApiError(err);
    } finally {
      if (asked === this.#asked) this.busy = false;
    }
  }

  /** Opens what was chosen and gives its path. */
  async open(hit: Hit): Promise<string> {
    const id = hit.kind === 'conversation' ? hit.conversation.id : await this.#live.openDirect(hit.user.id);
    return `c/${id}`;
  }
}
