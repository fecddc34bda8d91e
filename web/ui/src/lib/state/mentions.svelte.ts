import type { ApiError } from '../api/errors';
import type { Conversation } from '../api/types';
import { elapsed } from '../elapsed';
import { completing, named, suggest } from '../text/mentions';
import type { Live } from './live.svelte';
import type { Person } from './people.svelte';
import type { Roster } from './roster.svelte';

/** So many are offered at once. */
const offered = 8;
/** What failed is not tried again with every key, but after so many milliseconds. */
const patience = 3_000;

/** Naming the members of a group while writing: who fits what is typed, and who was named. */
export class Mentions {
  /** Those who fit what is being typed, best first. */
  matches = $state.raw<Person[]>([]);
  /** Which of them Enter chooses. */
  at = $state(0);

  #live: Pick<Live, 'me' | 'people'>;
  #conversation: () => Conversation;
  #roster: Roster;
  #askedAt = -Infinity;
  #text = '';
  #caret = 0;
  /** Where an @ stands whose completion was waved away. */
  #dismissed = -1;
  /** Was one of the matches chosen with the arrow keys or the pointer? */
  #pointed = false;
  #looks = 0;

  constructor(live: Pick<Live, 'me' | 'people'>, conversation: () => Conversation, roster: Roster) {
    this.#live = live;
    this.#conversation = conversation;
    this.#roster = roster;
  }

  /** Why not all of them can be offered. */
  get error(): ApiError | null {
    return this.#roster.loaded ? null : this.#roster.error;
  }

  /** The text or the caret in it has changed. */
  look(text: string, caret: number): void {
    if (text !== this.#text || caret !== this.#caret) this.#pointed = false;
    this.#text = text;
    this.#caret = caret;
    this.#looks++;
    const word = this.#word();
    if (word?.from !== this.#dismissed) this.#dismissed = -1;
    // Also those that stand in a draft already have to be known when it is sent.
    if (text.includes('@')) void this.#load();
    this.#suggest();
  }

  #word(): ReturnType<typeof completing> {
    return this.#conversation().kind === 'group' ? completing(this.#text, this.#caret) : null;
  }

  #suggest(): void {
    const word = this.#word();
    const show = word !== null && word.from !== this.#dismissed;
    const people = show ? this.#people().filter((p) => p.id !== this.#live.me) : [];
    const kept = this.#pointed ? this.matches[this.at] : undefined;
    this.matches = suggest(people, word?.query ?? '', offered);
    // A chosen member stays chosen when others come before it.
    const at = kept ? this.matches.findIndex((p) => p.id === kept.id) : -1;
    this.#pointed = at >= 0;
    this.at = Math.max(0, at);
  }

  /** A name is being typed, and the members that may fit it are not all here yet. */
  get unsure(): boolean {
    const word = this.#word();
    return word !== null && word.query !== '' && word.from !== this.#dismissed && !this.#pointed && !this.#roster.loaded && this.#roster.error === null;
  }

  /**
   * Waits until everyone who fits what is typed is known. Gives the one who is meant, null if none
   * fits, and undefined if there are several or the text has changed meanwhile.
   */
  async settled(): Promise<Person | null | undefined> {
    const looks = this.#looks;
    await this.#roster.want();
    if (looks !== this.#looks) return undefined;
    this.#suggest();
    const query = this.#word()?.query ?? '';
    const exact = this.matches.find((p) => p.username === query);
    if (exact) return exact;
    if (this.matches.length === 1 && this.#roster.loaded) return this.matches[0];
    return this.matches.length === 0 ? null : undefined;
  }

  /** Everybody, or, before the list is there, the few whom the conversation itself names. */
  #people(): Person[] {
    if (this.#roster.loaded) return this.#roster.people;
    return this.#conversation().members.flatMap((m) => this.#live.people.get(m.user_id) ?? []);
  }

  async #load(): Promise<void> {
    if (this.#conversation().kind !== 'group' || this.#roster.current) return;
    if (this.#roster.error && elapsed() - this.#askedAt < patience) return;
    this.#askedAt = elapsed();
    await this.#roster.want();
    this.#suggest();
  }

  move(by: number): void {
    this.#pointed = true;
    this.at = (this.at + by + this.matches.length) % this.matches.length;
  }

  point(at: number): void {
    this.#pointed = true;
    this.at = at;
  }

  /** The text that mentions a member, and the part of what was typed that it replaces. */
  choose(member: Person): { text: string; from: number; to: number } {
    const from = this.#word()?.from ?? this.#caret;
    const to = this.#caret + Number(this.#text[this.#caret] === ' ');
    this.matches = [];
    return { text: `@${member.username} `, from, to };
  }

  /** Not now; with the next key they are there again. */
  hide(): void {
    this.matches = [];
  }

  /** Not for this word. */
  dismiss(): void {
    this.#dismissed = this.#word()?.from ?? -1;
    this.hide();
  }

  /** The ids of the members whom a text names; null while that is not known for certain. */
  in(text: string): string[] | null {
    if (this.#conversation().kind !== 'group' || !text.includes('@')) return [];
    return this.#roster.current ? named(text, this.#roster.people) : null;
  }

  /**
   * The same for the new text of a message, once it is known. Whom the message named before
   * is known all the same: they are not lost where the list of members cannot be had.
   */
  async again(text: string, before: string[] = []): Promise<string[]> {
    if (this.in(text) === null) await this.#roster.want();
    const members = this.#conversation().kind === 'group' ? this.#people() : [];
    return named(text, [...members, ...before.flatMap((id) => this.#live.people.get(id) ?? [])]);
  }
}
