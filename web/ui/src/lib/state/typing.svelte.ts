import { SvelteMap } from 'svelte/reactivity';
import { elapsed } from '../elapsed';

/** Who types is shown for so long after it was heard last, in milliseconds. */
const shownFor = 5_000;
/** While one types it is said this often: the server passes it on every 2.5 s at most. */
const sayEvery = 2_600;

interface Options {
  /** Says that one types. What comes of it does not matter: the next key says it again. */
  say(conversation_id: string): void;
}

/** Who is typing where. */
export class Typing {
  #o: Options;
  /** By conversation, those who type, in the order they began. */
  #typing = new SvelteMap<string, string[]>();
  #ends = new Map<string, ReturnType<typeof setTimeout>>();
  #said = { conversation_id: '', at: -Infinity };

  constructor(o: Options) {
    this.#o = o;
  }

  /** Somebody wrote something into the box of a conversation here. */
  typed(conversation_id: string): void {
    const { conversation_id: last, at } = this.#said;
    if (last === conversation_id && elapsed() - at < sayEvery) return;
    this.#said = { conversation_id, at: elapsed() };
    this.#o.say(conversation_id);
  }

  in(conversation_id: string): readonly string[] {
    return this.#typing.get(conversation_id) ?? [];
  }

  /** Somebody else is typing. */
  heard({ conversation_id, user_id }: { conversation_id: string; user_id: string }): void {
    const key = `${conversation_id} ${user_id}`;
    clearTimeout(this.#ends.get(key));
    this.#ends.set(key, setTimeout(() => this.stopped(conversation_id, user_id), shownFor));
    const before = this.in(conversation_id);
    if (!before.includes(user_id)) this.#typing.set(conversation_id, [...before, user_id]);
  }

  /** Their message is there, or they have not typed for a while. */
  stopped(conversation_id: string, user_id: string): void {
    const key = `${conversation_id} ${user_id}`;
    clearTimeout(this.#ends.get(key));
    if (!this.#ends.delete(key)) return;
    const others = this.in(conversation_id).filter((id) => id !== user_id);
    if (others.length > 0) this.#typing.set(conversation_id, others);
    else this.#typing.delete(conversation_id);
  }

  clear(): void {
    for (const end of this.#ends.values()) clearTimeout(end);
    this.#ends.clear();
    this.#typing.clear();
  }
}
