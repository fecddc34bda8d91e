import type { Entry, Message, Sent } from '../api/types';
import { canonicalEmoji } from '../text/identity';
import { uuidv7 } from '../uuid';
import type { Log } from './log.svelte';

// What one does to a message that was sent. Unlike a new message nothing of it waits for
// the connection: it is done now, or it is said that it was not.

interface Options {
  me: string;
  request(type: string, data: unknown): Promise<Sent>;
  log(conversation_id: string): Log;
}

export class Actions {
  #o: Options;
  /** Whether one's own reaction is to be there, by message and emoji, while it is being seen to. */
  #wanted = new Map<string, boolean>();

  constructor(o: Options) {
    this.#o = o;
  }

  /** The same client_id with the same text is the same edit, however often it is sent. */
  async edit(m: Message, client_id: string, body: string, mentions: string[]): Promise<void> {
    await this.#o.request('message.edit', {
      conversation_id: m.conversation_id,
      client_id,
      seq: m.seq,
      body,
      ...(mentions.length > 0 ? { mentions } : {}),
    });
  }

  async delete(m: Message): Promise<void> {
    await this.#o.request('message.delete', { conversation_id: m.conversation_id, client_id: uuidv7(), seq: m.seq });
  }

  /**
   * Sees to it that one's own reaction is there, or is not. It is shown at once and taken
   * back if that fails; who changes their mind meanwhile gets what they wanted last.
   */
  async react(m: Message, picked: string, on: boolean): Promise<void> {
    const emoji = canonicalEmoji(picked);
    const { conversation_id, seq } = m;
    const log = this.#o.log(conversation_id);
    const key = `${conversation_id} ${seq} ${emoji}`;
    const busy = this.#wanted.has(key);
    this.#wanted.set(key, on);
    log.wish(this.#reaction(m, emoji, on));
    if (busy) return; // whoever is at it sees to this too
    let asked = on;
    let done = 0; // the seq of what was done last
    try {
      do {
        asked = this.#wanted.get(key)!;
        ({ seq: done } = await this.#o.request('message.react', { conversation_id, client_id: uuidv7(), seq, emoji, ...(asked ? {} : { remove: true }) }));
      } while (asked !== this.#wanted.get(key));
    } catch (err) {
      log.wish(this.#reaction(m, emoji, !asked)); // as it was
      throw err;
    } finally {
      log.grant(seq, emoji, done);
      this.#wanted.delete(key);
    }
  }

  #reaction({ conversation_id, seq }: Message, emoji: string, on: boolean): Entry {
    const kind = on ? 'reaction_added' : 'reaction_removed';
    return { conversation_id, seq: 0, kind, sender_id: this.#o.me, created_at: '', target_seq: seq, emoji };
  }
}
