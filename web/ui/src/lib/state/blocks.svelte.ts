import { asApiError, type ApiError } from '../api/errors';
import { http } from '../api/http';
import type { User } from '../api/types';

interface Options {
  /** Takes the names of people. */
  put(people: User[]): void;
  /** A block began or ended by this page's request. */
  onChange(user_id: string): void;
}

/** The people whom the user blocks. */
export class Blocks {
  /** Of the person whom the dialog asks about, the id; null without a dialog. */
  asking = $state<string | null>(null);
  /** Why the list could not be fetched. */
  error = $state<ApiError | null>(null);
  #ids = $state.raw<ReadonlySet<string>>(new Set());
  /** What events said while the list was on its way: they are newer than its answer. */
  #meanwhile = new Map<string, boolean>();
  #loads = 0;
  #o: Options;

  constructor(o: Options) {
    this.#o = o;
  }

  has(user_id: string): boolean {
    return this.#ids.has(user_id);
  }

  get ids(): string[] {
    return [...this.#ids];
  }

  /** Fetches the list; never rejects. Without an answer what was known stays. */
  async load(): Promise<void> {
    const load = ++this.#loads;
    this.#meanwhile.clear();
    try {
      const people = await http.blocks();
      if (load !== this.#loads) return;
      this.#o.put(people);
      const now = new Map([...people.map((p) => [p.id, true] as const), ...this.#meanwhile]);
      this.#ids = new Set([...now].flatMap(([id, blocked]) => (blocked ? id : [])));
      this.error = null;
    } catch (err) {
      if (load === this.#loads) this.error = asApiError(err);
    }
  }

  /** Takes the event of a block, here or on another device. */
  event({ user_id, blocked }: { user_id: string; blocked: boolean }): void {
    this.#meanwhile.set(user_id, blocked);
    const others = this.ids.filter((id) => id !== user_id);
    this.#ids = new Set(blocked ? [...others, user_id] : others);
  }

  /** Blocks a person, or ends that. */
  async set(user_id: string, blocked: boolean): Promise<void> {
    await (blocked ? http.block(user_id) : http.unblock(user_id));
    this.event({ user_id, blocked });
    this.#o.onChange(user_id);
  }
}
