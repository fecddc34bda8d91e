import { SvelteMap } from 'svelte/reactivity';
import { asApiError } from '../api/errors';
import { t } from '../i18n';
import { fold } from '../search';
import type { Mentioned } from '../text/parse';

export interface Person {
  id: string;
  username: string;
  display_name: string;
  deleted?: boolean;
}

/** What is shown of a person. Of a deleted account the server has names only for programs. */
export const shownAs = <T extends Omit<Person, 'id'>>(p: T): T => (p.deleted ? { ...p, username: '', display_name: t.account.deleted } : p);

/** So many are asked for at once. */
const batch = 100;

/** Names with the same key are easily taken for each other. */
const keyOf = (name: string): string => fold(name).replace(/\s+/g, ' ');

/**
 * Who people are, by id. Whoever is asked for and not known is fetched, together with the
 * others asked for in the same moment; what shows their name follows by itself.
 */
export class People {
  #known = new SvelteMap<string, Person>();
  /** How many of them have a name, by its key. */
  #namesakes = new SvelteMap<string, number>();
  #wanted = new Set<string>();
  #asked = new Set<string>();
  #failed = new Set<string>();
  #fetch: (ids: string[]) => Promise<Person[]>;

  constructor(fetch: (ids: string[]) => Promise<Person[]>) {
    this.#fetch = fetch;
  }

  /** Somebody, if they are known by now. */
  get(id: string): Person | undefined {
    const person = this.#known.get(id);
    if (!person && id !== '' && !this.#asked.has(id)) {
      if (this.#wanted.size === 0) queueMicrotask(() => void this.#ask());
      this.#wanted.add(id);
    }
    return person;
  }

  /** What somebody is called; empty until it is known. */
  name(id: string): string {
    return this.get(id)?.display_name ?? '';
  }

  /** The username of a person whose name another one has too, as in @ada; else empty. */
  handle(id: string): string {
    const person = this.get(id);
    return person?.username && this.#namesakes.get(keyOf(person.display_name))! > 1 ? `@${person.username}` : '';
  }

  /** What a person is called, with the username where the name is another one's too. */
  label(id: string): string {
    const handle = this.handle(id);
    return handle ? `${this.name(id)} (${handle})` : this.name(id);
  }

  /** Those of a message's mentions who are known by now, as the reader is shown them. */
  mentioned(ids: readonly string[] | undefined, me: string): Mentioned[] {
    return (ids ?? []).flatMap((id): Mentioned[] => {
      const person = this.get(id);
      return person?.username ? [{ id, username: person.username, name: this.label(id), me: id === me }] : [];
    });
  }

  /** Asks again for those who could not be had. Called when the connection is back. */
  retry(): void {
    const failed = [...this.#failed];
    this.#failed.clear();
    for (const id of failed) this.get(id);
  }

  put(people: Iterable<Person>): void {
    for (const p of Array.from(people, shownAs)) {
      const old = this.#known.get(p.id);
      if (old?.display_name === p.display_name && old.username === p.username) continue;
      if (old) this.#count(old.display_name, -1);
      this.#count(p.display_name, 1);
      this.#known.set(p.id, p);
    }
  }

  #count(name: string, by: number): void {
    const key = keyOf(name);
    this.#namesakes.set(key, (this.#namesakes.get(key) ?? 0) + by);
  }

  async #ask(): Promise<void> {
    const ids = [...this.#wanted];
    this.#wanted.clear();
    for (const id of ids) this.#asked.add(id); // nobody who does not exist is asked for for ever
    for (let i = 0; i < ids.length; i += batch) {
      const some = ids.slice(i, i + batch);
      try {
        this.put(await this.#fetch(some));
      } catch (err) {
        asApiError(err);
        for (const id of some) {
          this.#asked.delete(id); // the next who looks asks again
          this.#failed.add(id);
        }
      }
    }
  }
}
