import { SvelteMap } from 'svelte/reactivity';
import { storageName } from '../base';

/** Written down this long after the last key, in milliseconds. */
const settle = 300;

/** What a Drafts keeps its texts in: localStorage. */
export type DraftStorage = Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'>;

/**
 * What was typed and not sent, by conversation. Kept over reloads, per person. Each has a
 * name of its own in the storage, so that tabs do not overwrite each other's.
 */
export class Drafts {
  #texts = new SvelteMap<string, string>();
  #storage: DraftStorage | null;
  #prefix: string;
  #dirty = new Set<string>();
  #leaving = new Map<string, Promise<boolean>>(); // texts that the outbox is about to keep
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(prefix: string, storage: DraftStorage | null) {
    this.#prefix = prefix;
    this.#storage = storage;
    for (let i = 0; i < (storage?.length ?? 0); i++) {
      const name = storage!.key(i) ?? '';
      this.#take(name, storage!.getItem(name));
    }
  }

  get(conversation_id: string): string {
    return this.#texts.get(conversation_id) ?? '';
  }

  set(conversation_id: string, text: string): void {
    if (text === this.get(conversation_id)) return;
    if (text.trim() === '') this.#texts.delete(conversation_id);
    else {
      this.#texts.set(conversation_id, text);
      this.#leaving.delete(conversation_id);
    }
    this.#dirty.add(conversation_id);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), settle);
  }

  /**
   * The text goes to the outbox. Until that has written it down, what is stored here stays,
   * so that a page that goes now leaves the text in one of the two.
   */
  async sent(conversation_id: string, kept: Promise<boolean>): Promise<void> {
    this.flush(); // the last words may not be stored yet
    this.#leaving.set(conversation_id, kept);
    this.set(conversation_id, '');
    if (!(await kept)) return; // then it is in the box again after a reload
    if (this.#leaving.get(conversation_id) !== kept) return; // the next text is there already
    this.#leaving.delete(conversation_id);
    this.flush();
  }

  /** Writes down what is not yet; called when the page is hidden. */
  flush(): void {
    clearTimeout(this.#timer);
    try {
      for (const id of this.#dirty) {
        const text = this.#texts.get(id);
        if (text === undefined && this.#leaving.has(id)) continue;
        this.#dirty.delete(id);
        if (text === undefined) this.#storage?.removeItem(this.#prefix + id);
        else this.#storage?.setItem(this.#prefix + id, text);
      }
    } catch (err) {
      console.warn('keeping drafts', err); // full or forbidden: they last as long as the page
    }
  }

  /** Another tab wrote. */
  changed(e: { key: string | null; newValue: string | null }): void {
    this.#take(e.key ?? '', e.newValue);
  }

  clear(): void {
    this.#leaving.clear();
    for (const id of this.#texts.keys()) this.#dirty.add(id);
    this.#texts.clear();
    this.flush();
  }

  #take(name: string, text: string | null): void {
    if (!name.startsWith(this.#prefix)) return;
    const id = name.slice(this.#prefix.length);
    if (text) this.#texts.set(id, text);
    else this.#texts.delete(id);
  }
}

export const draftsPrefix = (user_id: string): string => storageName(`draft:${user_id}:`);
/** What a draft answers is kept in the same way. */
export const answersPrefix = (user_id: string): string => storageName(`answer:${user_id}:`);
