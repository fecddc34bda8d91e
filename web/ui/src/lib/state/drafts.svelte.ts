import { SvelteMap } from 'svelte/reactivity';
import type { Message, Quote } from '../api/types';
import { storageName } from '../base';
import { uuidv7 } from '../uuid';

/** Written down this long after the last key, in milliseconds. */
const writeDelay = 300;

/** What the composer of a conversation holds and has not sent. */
export interface Draft {
  text: string;
  /** The message that the text replies to. */
  answering?: Quote | undefined;
  /** A sent message that is being edited, with its new text so far. */
  editing?: Edit | undefined;
}

export interface Edit {
  message: Message;
  text: string;
  /** What was sent last and with which id: the same again is the same edit. */
  tried?: { client_id: string; body: string; mentions: string[] } | undefined;
}

/** A message was sent from a draft; other tabs may show the same one. */
export interface DraftSent {
  conversation_id: string;
  name: string | null;
  text: string;
}

/** localStorage, and sessionStorage. */
export type DraftStorage = Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'>;

interface Options {
  /** What all tabs share. Null: drafts last as long as the page. */
  local: DraftStorage | null;
  /** What a tab keeps over a reload. */
  session?: DraftStorage | null;
  /** Does the user type on this page? What they see then is not replaced. */
  focused?(): boolean;
  /** Publishes to the other tabs. */
  announce?(sent: DraftSent): void;
}

/** The composer of a conversation in this tab. */
interface Box {
  /** The item that holds its draft; null while there is nothing to hold. */
  name: string | null;
  /** What this tab last read from the item or wrote to it. */
  seen: string | null;
  /** The text was typed in this tab, so that another tab's text does not replace it. */
  typed: boolean;
}

const nothing: Draft = { text: '' };

/** Only text is stored as it is, which older pages can read. */
function encode(d: Draft): string | null {
  if (d.text.trim() === '' && !d.answering && !d.editing) return null;
  return d.answering || d.editing || d.text.startsWith('{') ? JSON.stringify(d) : d.text;
}

function decode(raw: string | null | undefined): Draft {
  if (!raw?.startsWith('{')) return raw ? { text: raw } : nothing;
  try {
    const d = JSON.parse(raw) as Draft;
    if (typeof d.text === 'string') return d;
  } catch {
    // the text of an older page
  }
  return { text: raw };
}

/** Does a draft hold all of another one? */
function continues(old: string, raw: string): boolean {
  const [a, b] = [decode(old), decode(raw)];
  return (
    b.text.startsWith(a.text) &&
    a.answering?.seq === b.answering?.seq &&
    a.editing?.message.seq === b.editing?.message.seq &&
    (b.editing?.text ?? '').startsWith(a.editing?.text ?? '')
  );
}

const items = (s: DraftStorage | null | undefined, prefix: string): [string, string][] =>
  Array.from({ length: s?.length ?? 0 }, (_, i) => s!.key(i) ?? '')
    .filter((key) => key.startsWith(prefix))
    .map((key) => [key.slice(prefix.length), s!.getItem(key) ?? '']);

const conversationOf = (name: string): string => name.split(':', 1)[0]!;

/** The item that changes when the user signs out: what tabs kept until then is void. */
const era = '!';

/**
 * What was written and not sent, by conversation and user, over reloads and in all tabs. A
 * draft is an item of the storage; a conversation can have several. A tab shows one of them,
 * and follows it as other tabs write to it.
 *
 * Invariant: text typed in one tab is never replaced by another tab's. Where two texts meet in
 * one item, the tab that sees it puts its own into a new item.
 */
export class Drafts {
  /** All items, by name: a conversation's id, or that with a suffix. */
  #items = new SvelteMap<string, string>();
  /** What the composers of this tab hold, by conversation. */
  #shown = new SvelteMap<string, Draft>();
  #boxes = new Map<string, Box>();
  #dirty = new Set<string>();
  #leaving = new Map<string, Promise<boolean>>(); // texts that the outbox is about to keep
  #timer: ReturnType<typeof setTimeout> | undefined;
  #prefix: string;
  #o: Options;
  #era: string;
  #over = false;

  constructor(prefix: string, o: Options) {
    this.#prefix = prefix;
    this.#o = o;
    this.#era = this.#read(era) ?? '';
    for (const [name, raw] of items(o.local, prefix)) if (name !== era) this.#items.set(name, raw);
    for (const [conversation_id, kept] of items(o.session, prefix)) this.#restore(conversation_id, kept);
    this.flush();
  }

  /** Shows what this tab held before it was reloaded. An item that is gone was sent or deleted. */
  #restore(conversation_id: string, kept: string): void {
    const [since, name, raw] = JSON.parse(kept) as string[];
    if (since !== this.#era || !this.#items.has(name!)) {
      this.#o.session!.removeItem(this.#prefix + conversation_id);
      return;
    }
    this.#boxes.set(conversation_id, { name: name!, seen: raw!, typed: true });
    this.#shown.set(conversation_id, decode(raw));
    if (this.#items.get(name!) !== raw) this.#dirty.add(conversation_id); // another tab's is there by now
  }

  #read = (name: string): string | null => this.#o.local?.getItem(this.#prefix + name) ?? null;

  /** A composer appears: it shows what this tab had in it, or a draft that is stored. */
  open(conversation_id: string): void {
    this.close(conversation_id);
    if (this.#boxes.has(conversation_id)) return;
    const name = this.#first(conversation_id);
    const seen = name === null ? null : this.#items.get(name)!;
    this.#boxes.set(conversation_id, { name, seen, typed: false });
    this.#shown.set(conversation_id, decode(seen));
  }

  /** It goes: an empty one shows another draft the next time, if there is one. */
  close(conversation_id: string): void {
    this.flush();
    if (encode(this.get(conversation_id)) !== null || this.#leaving.has(conversation_id)) return;
    this.#boxes.delete(conversation_id);
    this.#shown.delete(conversation_id);
  }

  #first(conversation_id: string): string | null {
    if (this.#items.has(conversation_id)) return conversation_id;
    return [...this.#items.keys()].find((name) => name.startsWith(`${conversation_id}:`)) ?? null;
  }

  get(conversation_id: string): Draft {
    return this.#shown.get(conversation_id) ?? decode(this.#items.get(this.#first(conversation_id) ?? ''));
  }

  /** What is unfinished in a conversation, for the list. */
  preview(conversation_id: string): string {
    const { text, editing } = this.get(conversation_id);
    return (editing && editing.text !== editing.message.body ? editing.text : text).trim();
  }

  /** The conversations that have one. */
  ids(): string[] {
    return [...new Set([...this.#items.keys(), ...this.#shown.keys()].map(conversationOf))];
  }

  /** All drafts of a conversation go on in another one. This tab's text stays in its composer. */
  move(from: string, to: string): void {
    if (!this.ids().includes(from)) return;
    this.flush();
    const [box, leaving] = [this.#boxes.get(from), this.#leaving.has(from)];
    const mine = encode(this.get(from));
    const names = [...this.#items.keys()].filter((name) => conversationOf(name) === from && !(leaving && name === box?.name));
    const raws = new Set([mine, ...names.map((name) => this.#items.get(name)!)].filter((raw) => raw !== null));
    const occupied = encode(this.#shown.get(to) ?? nothing) !== null;
    for (const raw of raws) {
      // Another tab may have moved it.
      let name = [...this.#items].find(([name, other]) => conversationOf(name) === to && other === raw)?.[0];
      name ??= this.#items.has(to) ? `${to}:${uuidv7()}` : to;
      this.#store(name, raw);
      if (raw !== mine || !box || occupied) continue;
      this.#boxes.set(to, { name, seen: raw, typed: box.typed });
      this.#shown.set(to, decode(raw));
      this.#dirty.add(to);
    }
    for (const name of names) this.#store(name, null);
    if (!leaving) {
      for (const of of [this.#boxes, this.#shown, this.#dirty]) of.delete(from);
      this.#o.session?.removeItem(this.#prefix + from);
    }
    if (this.#boxes.has(to)) this.open(to);
  }

  #store(name: string, raw: string | null): void {
    if (raw === null) this.#items.delete(name);
    else this.#items.set(name, raw);
    try {
      if (raw === null) this.#o.local?.removeItem(this.#prefix + name);
      else this.#o.local?.setItem(this.#prefix + name, raw);
    } catch (err) {
      console.warn('keeping drafts', err); // full or forbidden: they last as long as the page
    }
  }

  change(conversation_id: string, change: Partial<Draft>): void {
    if (!this.#boxes.has(conversation_id)) this.open(conversation_id);
    const draft = { ...this.get(conversation_id), ...change };
    this.#shown.set(conversation_id, draft);
    this.#boxes.get(conversation_id)!.typed = true;
    if (encode(draft) !== null) this.#leaving.delete(conversation_id);
    this.#dirty.add(conversation_id);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), writeDelay);
  }

  /**
   * The text goes to the outbox. Until that has written it down, what is stored here stays,
   * so that a page that goes now leaves the text in one of the two.
   */
  async sent(conversation_id: string, kept: Promise<boolean>): Promise<void> {
    this.flush(); // the last words may not be stored yet
    const box = this.#boxes.get(conversation_id);
    const { text } = this.get(conversation_id);
    this.#leaving.set(conversation_id, kept);
    this.#empty(conversation_id);
    if (!(await kept)) return; // then it is in the box again after a reload
    this.#o.announce?.({ conversation_id, name: box?.name ?? null, text: text.trim() });
    if (this.#leaving.get(conversation_id) !== kept) return; // the next text is there already
    this.#leaving.delete(conversation_id);
    this.flush();
  }

  /** Another tab sent a message from a draft that is shown here, or from the same text. */
  sentElsewhere({ conversation_id, name, text }: DraftSent): void {
    const box = this.#boxes.get(conversation_id);
    if (!box) return;
    const follows = box.name === name && name !== null && !box.typed;
    if (!follows && this.get(conversation_id).text.trim() !== text) return;
    this.#empty(conversation_id);
    this.flush();
  }

  #empty(conversation_id: string): void {
    const { editing } = this.get(conversation_id);
    this.#shown.set(conversation_id, { text: '', editing });
    const box = this.#boxes.get(conversation_id);
    if (box) box.typed = false;
    this.#dirty.add(conversation_id);
  }

  /** Writes down what is not yet; called when the page is hidden. */
  flush(): void {
    clearTimeout(this.#timer);
    if (this.#over || (this.#read(era) ?? '') !== this.#era) return; // signed out meanwhile
    try {
      for (const id of this.#dirty) this.#write(id);
    } catch (err) {
      console.warn('keeping drafts', err); // full or forbidden: they last as long as the page
    }
  }

  #write(conversation_id: string): void {
    const box = this.#boxes.get(conversation_id);
    const raw = encode(this.get(conversation_id));
    if (!box || (raw === null && this.#leaving.has(conversation_id))) return;
    let { name } = box;
    const now = name === null ? null : this.#read(name);
    if (now !== null && now !== box.seen && (raw === null || !continues(now, raw))) name = null; // another tab's by now
    if (raw !== null) {
      name ??= this.#read(conversation_id) === null ? conversation_id : `${conversation_id}:${uuidv7()}`;
      this.#o.local?.setItem(this.#prefix + name, raw);
      this.#items.set(name, raw);
    } else if (name !== null) {
      this.#o.local?.removeItem(this.#prefix + name);
      this.#items.delete(name);
      name = null;
    }
    box.name = name;
    box.seen = raw;
    this.#dirty.delete(conversation_id);
    if (raw !== null && box.typed) this.#o.session?.setItem(this.#prefix + conversation_id, JSON.stringify([this.#era, box.name, raw]));
    else this.#o.session?.removeItem(this.#prefix + conversation_id);
  }

  /** Another tab wrote. */
  changed({ key, newValue: raw }: { key: string | null; newValue: string | null }): void {
    if (!key?.startsWith(this.#prefix)) return;
    const name = key.slice(this.#prefix.length);
    if (name === era) return this.#forget();
    if (raw === null) this.#items.delete(name);
    else this.#items.set(name, raw);
    const conversation_id = conversationOf(name);
    const box = this.#boxes.get(conversation_id);
    if (!box || box.seen === raw || (box.name ?? name) !== name) return;
    const mine = encode(this.get(conversation_id));
    if (box.name === null && mine !== null) return; // a draft of its own, not stored yet
    if (box.typed && mine !== null) {
      if (raw === null || !continues(mine, raw)) {
        this.#dirty.add(conversation_id);
        this.flush();
        return;
      }
      box.typed = false; // all of it is in the other's
    }
    if (raw !== null && this.#o.focused?.()) return;
    Object.assign(box, { name: raw === null ? null : name, seen: raw, typed: false });
    this.#shown.set(conversation_id, decode(raw));
    this.#dirty.delete(conversation_id);
    this.#o.session?.removeItem(this.#prefix + conversation_id);
  }

  /** Leaves nothing: the user signs out. */
  clear(): void {
    const { local } = this.#o;
    try {
      local?.setItem(this.#prefix + era, uuidv7()); // before the rest, for the other tabs
      for (const [name] of items(local, this.#prefix)) if (name !== era) local!.removeItem(this.#prefix + name);
    } catch (err) {
      console.warn('clearing drafts', err);
    }
    this.#forget();
  }

  /** The user signed out: nothing of what this tab holds is written any more. */
  #forget(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    const { session } = this.#o;
    for (const [id] of items(session, this.#prefix)) session!.removeItem(this.#prefix + id);
    for (const of of [this.#items, this.#shown, this.#boxes, this.#dirty, this.#leaving]) of.clear();
  }
}

export const draftsPrefix = (user_id: string): string => storageName(`draft:${user_id}:`);

/** Older pages kept what a draft replies to apart from it. */
export function adoptAnswers(user_id: string, local: DraftStorage | null): void {
  const old = storageName(`answer:${user_id}:`);
  for (const [id, raw] of items(local, old)) {
    const name = draftsPrefix(user_id) + id;
    local!.removeItem(old + id);
    const draft = decode(local!.getItem(name));
    try {
      local!.setItem(name, encode({ answering: JSON.parse(raw) as Quote, ...draft })!);
    } catch {
      // not by this program, or no room
    }
  }
}
