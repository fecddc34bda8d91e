import { SvelteMap } from 'svelte/reactivity';
import { asApiError } from '../api/errors';
import type { PresenceState } from '../api/types';
import { elapsed } from '../elapsed';

/** Who is looked at is gathered this long before the server is told, in milliseconds. */
const gather = 50;
/** It is told no more often than this: who runs through the list stirs up nothing. */
const gap = 500;
/** A page that is being opened is given this long to show something before it is said that it shows nothing. */
const settle = 2_000;
/** After a refusal that may pass. */
const tryAgain = 3_000;

interface Options {
  connected(): boolean;
  request(type: string, data: unknown): Promise<{ users: PresenceState[] }>;
}

/** Stands for a conversation where none is shown: who never said so is told of typing everywhere. */
const none = '00000000-0000-0000-0000-000000000000';

/** What the server was told of what is shown here. */
interface Told {
  users: Set<string>;
  /** Null: that there is none; undefined: nothing yet. */
  conversation_id: string | null | undefined;
}

const nothing = (): Told => ({ users: new Set(), conversation_id: undefined });

/**
 * Who is here, of those that are shown. Whoever shows somebody watches them for so long; the
 * server is told of the difference, and of everything anew when the connection is.
 */
export class Presence {
  #o: Options;
  #states = new SvelteMap<string, PresenceState>();
  /** How many show somebody. */
  #watched = new Map<string, number>();
  #conversation: string | null = null;
  #told = nothing();
  /** Watched people whose watch the server may have refused or ended: it is told of them once more. */
  #doubted = new Set<string>();
  #due: ReturnType<typeof setTimeout> | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #last = -Infinity;

  constructor(o: Options) {
    this.#o = o;
  }

  /** What is known of somebody who is watched. */
  get(user_id: string): PresenceState | undefined {
    return this.#states.get(user_id);
  }

  /** Watches somebody until the function it gives is called. */
  watch(user_id: string): () => void {
    this.#watched.set(user_id, (this.#watched.get(user_id) ?? 0) + 1);
    this.#plan();
    return () => {
      const others = this.#watched.get(user_id)! - 1;
      if (others > 0) this.#watched.set(user_id, others);
      else this.#watched.delete(user_id);
      this.#plan();
    };
  }

  /** Says which conversation is shown, until the function it gives is called: who types is told of that one. */
  show(conversation_id: string): () => void {
    this.#conversation = conversation_id;
    this.#plan();
    return () => {
      if (this.#conversation !== conversation_id) return; // the next one is there already
      this.#conversation = null;
      this.#plan();
    };
  }

  /**
   * The server may say of a person from now on what it did not before, such as after a block or
   * a request has ended. It does so to those alone who watch the person again.
   */
  again(user_id: string): void {
    const state = this.#states.get(user_id);
    if (!this.#watched.has(user_id) || state?.online || state?.last_seen) return;
    this.#doubted.add(user_id);
    this.#plan();
  }

  /** There is a new connection, which was told nothing yet. */
  connected(): void {
    this.#told = nothing();
    this.#doubted.clear();
    clearTimeout(this.#due);
    this.#due = undefined;
    clearTimeout(this.#settling);
    if (this.#watched.size > 0 || this.#conversation !== null) this.#tell();
    else this.#settling = setTimeout(() => this.#plan(), settle);
  }

  /** Takes what the server says of somebody: what comes last is right, be it an answer or not. */
  event(state: PresenceState): void {
    if (this.#watched.has(state.user_id)) this.#states.set(state.user_id, state);
  }

  clear(): void {
    clearTimeout(this.#settling);
    clearTimeout(this.#due);
    this.#due = undefined;
    this.#watched.clear();
    this.#doubted.clear();
    this.#states.clear();
    this.#conversation = null;
  }

  #plan(after = Math.max(gather, this.#last + gap - elapsed())): void {
    this.#due ??= setTimeout(() => {
      this.#due = undefined;
      this.#tell();
    }, after);
  }

  #tell(): void {
    if (!this.#o.connected()) return; // all of it is told when there is a connection
    const told = this.#told;
    const gone = [...told.users].filter((id) => !this.#watched.has(id));
    const come = [...this.#watched.keys()].filter((id) => !told.users.has(id) || this.#doubted.has(id));
    this.#doubted.clear();
    // A state that nobody keeps current is worth nothing.
    for (const id of gone) this.#states.delete(id);
    const [shown, before] = [this.#conversation, told.conversation_id];
    const left = shown === null && before !== null ? (before ?? none) : undefined;
    if (gone.length > 0 || left) this.#ask('presence.unwatch', gone, left);
    const opened = shown !== null && shown !== before ? shown : undefined;
    if (come.length > 0 || opened) this.#ask('presence.watch', come, opened);
  }

  #ask(type: 'presence.watch' | 'presence.unwatch', user_ids: string[], conversation_id?: string): void {
    this.#last = elapsed();
    const told = this.#told;
    const before = told.conversation_id;
    const watch = type === 'presence.watch';
    const note = (watched: boolean): void => {
      for (const id of user_ids) {
        if (watched) told.users.add(id);
        else told.users.delete(id);
      }
    };
    note(watch);
    const shown = watch ? conversation_id : null;
    if (conversation_id) told.conversation_id = shown;
    this.#o.request(type, { user_ids, ...(conversation_id ? { conversation_id } : {}) }).then(
      ({ users }) => {
        for (const state of users) this.event(state);
      },
      (err) => {
        if (told !== this.#told) return; // the next connection was told everything
        const { code, retryAfter } = asApiError(err);
        // None of it was taken: it is told again with the next change, if not before.
        note(!watch);
        if (conversation_id && told.conversation_id === shown) told.conversation_id = before;
        if (code === 'rate_limited' || code === 'unavailable') this.#plan(retryAfter * 1000 || tryAgain);
        if (!watch || !conversation_id || code !== 'not_found') return;
        // It is the conversation that is not for us, not the people.
        const people = user_ids.filter((id) => this.#watched.has(id));
        if (people.length > 0) this.#ask(type, people);
      },
    );
  }
}
