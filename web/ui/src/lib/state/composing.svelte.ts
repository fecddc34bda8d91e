import { SvelteMap } from 'svelte/reactivity';
import type { ApiError } from '../api/errors';
import type { Message, Quote } from '../api/types';
import type { Drafts, Edit } from './drafts.svelte';

/** A message of one's own that is being changed. */
export interface Editing extends Edit {
  busy: boolean;
  /** Why it was not saved. */
  error: ApiError | null;
}

type Try = Pick<Editing, 'busy' | 'error'>;
const untried: Try = { busy: false, error: null };

/**
 * What the composer of each conversation is at, besides its text: which message is answered
 * and which one is edited. Both are part of the draft, and kept as it is.
 */
export class Composing {
  #drafts: Drafts;
  /** How saving an edit goes; that is not kept. */
  #tries = new SvelteMap<string, Try>();

  constructor(drafts: Drafts) {
    this.#drafts = drafts;
  }

  answering(conversation_id: string): Quote | null {
    return this.#drafts.get(conversation_id).answering ?? null;
  }

  answer(conversation_id: string, quote: Quote | null): void {
    this.#drafts.change(conversation_id, { answering: quote ?? undefined });
  }

  editing(conversation_id: string): Editing | null {
    const { editing } = this.#drafts.get(conversation_id);
    return editing ? { ...editing, ...(this.#tries.get(conversation_id) ?? untried) } : null;
  }

  edit(message: Message): void {
    this.#tries.delete(message.conversation_id);
    this.#drafts.change(message.conversation_id, { editing: { message, text: message.body ?? '' } });
  }

  /** Goes on with an edit; it may have been given up meanwhile. */
  amend(conversation_id: string, change: Partial<Editing>): void {
    const old = this.editing(conversation_id);
    if (!old) return;
    const { busy, error, ...edit } = { ...old, ...change };
    this.#tries.set(conversation_id, { busy, error });
    this.#drafts.change(conversation_id, { editing: edit });
  }

  stopEditing(conversation_id: string): void {
    if (!this.editing(conversation_id)) return;
    this.#tries.delete(conversation_id);
    this.#drafts.change(conversation_id, { editing: undefined });
  }
}
