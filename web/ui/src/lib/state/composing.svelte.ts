import { SvelteMap } from 'svelte/reactivity';
import type { ApiError } from '../api/errors';
import type { Message, Quote } from '../api/types';
import type { Drafts } from './drafts.svelte';

/** A message of one's own that is being changed. */
export interface Editing {
  message: Message;
  /** As far as it was typed. */
  text: string;
  /** What was sent last and with which id: the same again is the same edit. */
  tried?: { client_id: string; body: string; mentions: string[] };
  busy: boolean;
  /** Why it was not saved. */
  error: ApiError | null;
}

/**
 * What the composer of each conversation is at, besides its draft: which message is
 * answered (kept over reloads, as the draft is), and which one is being edited.
 */
export class Composing {
  #answers: Drafts;
  #edits = new SvelteMap<string, Editing>();

  /** Answers holds quotes as JSON. */
  constructor(answers: Drafts) {
    this.#answers = answers;
  }

  answering(conversation_id: string): Quote | null {
    const kept = this.#answers.get(conversation_id);
    if (kept === '') return null;
    try {
      return JSON.parse(kept) as Quote;
    } catch {
      return null; // not by this program
    }
  }

  answer(conversation_id: string, quote: Quote | null): void {
    this.#answers.set(conversation_id, quote ? JSON.stringify(quote) : '');
  }

  /** The answer goes to the outbox, with the draft and in the same way. */
  async sent(conversation_id: string, kept: Promise<boolean>): Promise<void> {
    await this.#answers.sent(conversation_id, kept);
  }

  editing(conversation_id: string): Editing | null {
    return this.#edits.get(conversation_id) ?? null;
  }

  edit(message: Message): void {
    this.#edits.set(message.conversation_id, { message, text: message.body ?? '', busy: false, error: null });
  }

  /** Goes on with an edit; it may have been given up meanwhile. */
  amend(conversation_id: string, change: Partial<Editing>): void {
    const old = this.#edits.get(conversation_id);
    if (old) this.#edits.set(conversation_id, { ...old, ...change });
  }

  stopEditing(conversation_id: string): void {
    this.#edits.delete(conversation_id);
  }

  changed(e: { key: string | null; newValue: string | null }): void {
    this.#answers.changed(e);
  }

  flush(): void {
    this.#answers.flush();
  }

  clear(): void {
    this.#answers.clear();
    this.#edits.clear();
  }
}
