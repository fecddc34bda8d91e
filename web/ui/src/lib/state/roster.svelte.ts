import { SvelteMap } from 'svelte/reactivity';
import { asApiError, type ApiError } from '../api/errors';
import { http } from '../api/http';
import type { Entry, Member, MemberRole } from '../api/types';
import { fold } from '../search';
import type { Live } from './live.svelte';
import type { Person } from './people.svelte';

/** Somebody in a group, as its list shows them. */
export interface Listed {
  user_id: string;
  role: MemberRole;
  /** Unknown for a moment after they were added by somebody else. */
  person: Person | undefined;
}

const order: Record<MemberRole, number> = { owner: 0, admin: 1, member: 2 };
const collator = new Intl.Collator(undefined, { numeric: true });

/** Everybody in a group. Live tells it what happens and when it may have missed something. */
export class Roster {
  loaded = $state(false);
  /** Why it could not be had. */
  error = $state<ApiError | null>(null);
  #roles = new SvelteMap<string, MemberRole>();
  #live: Pick<Live, 'me' | 'people'>;
  /** What came while the list was on its way, which may or may not know of it. */
  #meanwhile: Entry[] | null = null;
  #asked = 0;
  #loading: Promise<void> | null = null;
  /** Nothing that happened since it was asked for went by unheard. */
  #sure = false;

  constructor(
    readonly id: string,
    live: Pick<Live, 'me' | 'people'>,
  ) {
    this.#live = live;
  }

  /** It is there, and as the group is now. */
  get current(): boolean {
    return this.loaded && this.#sure && this.#meanwhile === null;
  }

  /** Sees to it that it is current; if that cannot be, error says why. */
  async want(): Promise<void> {
    if (this.#loading === null && !this.current) void this.load();
    while (this.#loading) await this.#loading;
  }

  /** Something may have happened of which nobody told. */
  doubt(): void {
    this.#sure = false;
  }

  get size(): number {
    return this.#roles.size;
  }

  role(user_id: string): MemberRole | undefined {
    return this.#roles.get(user_id);
  }

  /** Owners first, then admins, then members; each by name. */
  readonly members = $derived.by((): Listed[] =>
    [...this.#roles]
      .map(([user_id, role]) => ({ user_id, role, person: this.#live.people.get(user_id) }))
      .sort((a, b) => order[a.role] - order[b.role] || collator.compare(a.person?.display_name ?? '', b.person?.display_name ?? '')),
  );

  /** Those of them who are known by now. */
  get people(): Person[] {
    return this.members.flatMap((m) => m.person ?? []);
  }

  /** Those whose name or username has what was typed in it. */
  find(query: string): Listed[] {
    const q = fold(query.trim());
    if (q === '') return this.members;
    return this.members.filter(({ person }) => person && (fold(person.display_name).includes(q) || person.username.includes(q)));
  }

  load(): Promise<void> {
    const asked = ++this.#asked;
    return (this.#loading = this.#load(asked).finally(() => {
      if (asked === this.#asked) this.#loading = null;
    }));
  }

  async #load(asked: number): Promise<void> {
    this.#meanwhile ??= [];
    this.#sure = true;
    this.error = null;
    try {
      const members = await http.members(this.id);
      if (asked !== this.#asked) return;
      this.put(members);
      const here = new Set(members.map((m) => m.user_id));
      for (const id of [...this.#roles.keys()]) if (!here.has(id)) this.#roles.delete(id);
      this.loaded = true;
    } catch (err) {
      if (asked !== this.#asked) return;
      this.error = asApiError(err);
      this.#sure = false;
    }
    const meanwhile = this.#meanwhile;
    this.#meanwhile = null;
    for (const e of meanwhile) this.apply(e);
  }

  /** Takes members as the server has them. */
  put(members: Member[]): void {
    this.#live.people.put(members.map((m) => ({ ...m, id: m.user_id })));
    for (const m of members) this.#roles.set(m.user_id, m.role);
  }

  /** Takes somebody out before the log tells of it. */
  drop(user_id: string): void {
    this.#roles.delete(user_id);
  }

  /** Takes an entry of any log. */
  apply(e: Entry): void {
    if (e.conversation_id !== this.id) return;
    this.#meanwhile?.push(e);
    switch (e.kind) {
      case 'member_added':
        this.#roles.set(e.user_id!, 'member');
        return;
      case 'role_changed':
        this.#roles.set(e.user_id!, e.role!);
        return;
      case 'member_removed':
      case 'member_left':
        this.#roles.delete(e.user_id!);
    }
  }

  /**
   * Who becomes owner when I leave: nobody has to while there is another owner; 'alone' if
   * nobody is left; the id where only one comes into question; else the role among whom
   * the one who has been here longest is taken.
   */
  get heir(): { by: 'nobody' | 'alone' } | { by: 'one'; user_id: string } | { by: 'longest'; role: 'admin' | 'member' } {
    const others = this.members.filter((m) => m.user_id !== this.#live.me);
    if (others.length === 0) return { by: 'alone' };
    if (this.role(this.#live.me) !== 'owner' || others.some((m) => m.role === 'owner')) return { by: 'nobody' };
    const admins = others.filter((m) => m.role === 'admin');
    const next = admins.length > 0 ? admins : others;
    if (next.length === 1) return { by: 'one', user_id: next[0]!.user_id };
    return { by: 'longest', role: admins.length > 0 ? 'admin' : 'member' };
  }
}
