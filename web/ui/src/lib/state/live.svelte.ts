import { SvelteMap } from 'svelte/reactivity';
import { socketURL, storageName } from '../base';
import { ApiError, asApiError } from '../api/errors';
import { http, type GroupChange, type NotifyChange } from '../api/http';
import { Socket } from '../api/socket';
import type { Conversation, Entry, Hello, Missed, PresenceState, Sent } from '../api/types';
import type { Pending } from '../group';
import { storage } from '../storage';
import { named } from '../text/mentions';
import { Actions } from './actions';
import { waitAfter } from './again';
import { Announcing } from './announcing';
import { Blocks } from './blocks.svelte';
import { Composing } from './composing.svelte';
import { connection } from './connection.svelte';
import { Conversations, isRequest } from './conversations.svelte';
import { adoptAnswers, Drafts, draftsPrefix, type DraftSent } from './drafts.svelte';
import { emptyLog, pathOf, unbegun, unbegunId, unbegunWith } from './first-message';
import { lasting } from './lasting.svelte';
import { listed } from './listing';
import { Log } from './log.svelte';
import type { Progress } from './marks.svelte';
import { Outbox } from './outbox';
import { openOutboxStore } from './outbox-store';
import { People } from './people.svelte';
import { Presence } from './presence.svelte';
import { Receipts } from './receipts';
import { Roster } from './roster.svelte';
import { reports } from './reports.svelte';
import { session } from './session.svelte';
import { Typing } from './typing.svelte';
import { pageRows } from './window';

/** Conversations fetched at the start; the first sync brings the rest. */
export const firstList = 100;
/** A sync names at most this many; the server takes 2,000. */
const maxHeld = 1_000;
/** A page that got the focus less than this ago, in milliseconds, still follows other tabs. */
const focusGrace = 500;
/** So many conversations' rows are kept for going back to. */
const keptLogs = 12;

/** A failure of HTTP, for the outbox. The socket may well be connected: then only trying again sets it going. */
const tryAgain = (e: ApiError): ApiError => (e.code === 'offline' ? new ApiError('unavailable') : e);

/** How long after connecting an admin's page counts the open reports, in ms. */
const reportsDelay = 3000;

/** Everything of one person who is signed in, and the connection that keeps it current. */
export class Live {
  readonly conversations: Conversations;
  readonly drafts: Drafts;
  readonly composing: Composing;
  readonly people = new People((ids) => http.peopleById(ids));
  readonly blocks = new Blocks({
    put: (people) => this.people.put(people),
    onChange: (user_id) => this.#blockChanged(user_id),
  });
  /** What is on its way, by conversation. */
  readonly pending = new SvelteMap<string, Pending[]>();
  readonly outbox: Outbox;
  readonly receipts: Receipts;
  readonly presence: Presence;
  readonly typing: Typing;
  readonly actions: Actions;
  readonly announcer = new Announcing(this);
  /** Why the list could not be fetched. */
  listError = $state<ApiError | null>(null);

  #socket: Socket;
  #logs = new Map<string, Log>(); // the one used last is at the end
  #rosters = new Map<string, Roster>();
  #epoch: string | null = null;
  #listing: Promise<void> | null = null;
  /** The outbox is read. */
  #loaded = Promise.resolve();
  #refreshing = new Map<string, ReturnType<typeof setTimeout>>(); // conversations to ask for again
  #tabs: BroadcastChannel;
  #over = new AbortController();
  #focusedAt = -Infinity;

  constructor(readonly me: string) {
    this.conversations = new Conversations(me);
    const local = storage('localStorage');
    adoptAnswers(me, local);
    this.drafts = new Drafts(draftsPrefix(me), {
      local,
      session: storage('sessionStorage'),
      // What another window wrote as it lost the focus to this one comes a moment later.
      focused: () => document.hasFocus() && performance.now() - this.#focusedAt > focusGrace,
      announce: (sent) => this.#announce(sent),
    });
    this.composing = new Composing(this.drafts);
    this.#socket = new Socket({
      url: socketURL,
      handlers: {
        hello: (hello) => void this.#hello(hello),
        down: (retryAt) => {
          connection.down(retryAt);
          for (const roster of this.#rosters.values()) roster.doubt();
        },
        refused: () => void session.check(),
        ended: (why) => {
          if (why === 'protocol' || why === 'replaced') connection.ended = why;
          else session.ended();
        },
        entry: (e) => this.#entry(e),
        behind: ({ conversation_id, last_seq }) => {
          this.#logs.get(conversation_id)?.reaches(last_seq);
          this.#rosters.get(conversation_id)?.doubt();
          void this.#refresh(conversation_id);
        },
        conversation: (c) => {
          this.#put(c);
          if (c.kind === 'direct' && !c.blocked) for (const m of c.members) this.presence.again(m.user_id);
        },
        receipt: (r) => {
          if (!this.conversations.receipt(r)) void this.#refresh(r.conversation_id);
        },
        presence: (state) => this.presence.event(state),
        typing: (who) => this.typing.heard(who),
        block: (of) => {
          this.blocks.event(of);
          if (!of.blocked) this.presence.again(of.user_id);
        },
        user: (user) => {
          this.people.put([user]);
          this.conversations.renamed(user);
          if (user.id === me) void session.check();
        },
        session: (signedIn) => (connection.signedIn = signedIn),
        report: (e) => reports.heard(e),
      },
    });
    this.receipts = new Receipts({
      connected: () => this.#socket.connected,
      closed: (id, mark) => this.conversations.left(id) !== undefined || (mark === 'read' && isRequest(this.conversations.get(id))),
      send: (mark, conversation_id, seq) => this.#socket.request(`receipt.${mark}`, { conversation_id, seq }),
    });
    this.presence = new Presence({
      connected: () => this.#socket.connected,
      request: (type, data) => this.#socket.request<{ users: PresenceState[] }>(type, data),
    });
    this.typing = new Typing({
      say: (conversation_id) => {
        const c = this.conversations.get(conversation_id);
        if (c && !c.blocked && !isRequest(c)) void this.#socket.request('typing.start', { conversation_id }).catch(() => {});
      },
    });
    this.#tabs = new BroadcastChannel(storageName(`outbox:${me}`));
    const store = openOutboxStore(storageName('outbox'));
    this.outbox = new Outbox({
      store,
      user_id: me,
      connected: () => this.#socket.connected,
      begin: (id) => {
        const user_id = unbegunWith(id);
        return user_id === null ? undefined : this.#openDirect(user_id);
      },
      send: async ({ conversation_id, client_id, body, reply_to, mentions, mentions_open }) => {
        if (mentions_open) mentions = await this.#named(conversation_id, body);
        return this.#socket.request<Sent>('message.send', { conversation_id, client_id, body, reply_to, mentions });
      },
      exclusively: async (name, f) => {
        // There only on https and localhost. Without it two tabs may both send, which
        // stores nothing twice.
        if (!('locks' in navigator)) return f();
        await navigator.locks.request(storageName(`outbox:${me}:${name}`), f);
      },
      onChange: (id, pending) => {
        if (pending.length > 0) this.pending.set(id, pending);
        else this.pending.delete(id);
      },
      announce: () => this.#announce(null),
    });
    this.actions = new Actions({
      me,
      request: (type, data) => this.#socket.request<Sent>(type, data),
      log: (id) => this.log(id),
    });
    this.#tabs.onmessage = ({ data: sent }: MessageEvent<DraftSent | null>) => {
      if (sent) this.drafts.sentElsewhere(sent);
      void this.#loadOutbox();
    };
    addEventListener('beforeunload', (e) => {
      if (this.outbox.size > 0 && !store.durable) e.preventDefault();
    }, { signal: this.#over.signal });
  }

  start(): void {
    const { signal } = this.#over;
    addEventListener('online', () => this.#socket.wake(), { signal });
    addEventListener('pageshow', (e) => e.persisted && this.#socket.wake(), { signal });
    addEventListener('storage', (e) => this.drafts.changed(e), { signal });
    addEventListener('blur', () => this.drafts.flush(), { signal });
    addEventListener('focus', () => (this.#focusedAt = performance.now()), { signal });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') {
        this.#socket.wake();
      } else {
        this.drafts.flush();
        this.receipts.flush();
      }
    }, { signal });
    connection.down(Date.now());
    this.#socket.start();
    void this.list();
    this.#loaded = this.#loadOutbox();
    void this.#loaded.then(() => this.outbox.drainAll());
  }

  stop(): void {
    this.drafts.flush();
    this.#over.abort();
    this.#socket.stop();
    this.receipts.clear();
    this.presence.clear();
    this.typing.clear();
    this.announcer.stop();
    this.#tabs.close();
    for (const log of this.#logs.values()) log.forget();
    connection.reset();
  }

  /** Tells the other tabs that the outbox changed, and what was sent from a draft. */
  #announce(sent: DraftSent | null): void {
    if (!this.#over.signal.aborted) this.#tabs.postMessage(sent);
  }

  /** Tries to connect now. */
  wake(): void {
    this.#socket.wake();
  }

  /** Connects again after other windows or devices took the place of this one. */
  reconnect(): void {
    connection.ended = null;
    this.#socket.start();
  }

  listed(open: string): Conversation[] {
    return listed(this, open);
  }

  /** Fetches the list, once at a time. */
  list(): Promise<void> {
    this.#listing ??= this.#list().finally(() => (this.#listing = null));
    return this.#listing;
  }

  async #list(): Promise<void> {
    try {
      // The list of blocks comes first: nothing of a blocked person is shown until it is there.
      const [list] = await Promise.all([http.conversations(firstList), this.blocks.load()]);
      for (const c of list) {
        if (!this.conversations.loaded) this.announcer.knows(c.id, c.last_seq); // a sync may bring it once more
        this.#put(c);
      }
      this.conversations.loaded = true;
      this.listError = null;
      this.announcer.listed();
    } catch (err) {
      this.listError = asApiError(err);
    }
  }

  /** The view of a conversation's log. Those not looked at for long are forgotten. */
  log(id: string): Log {
    let log = this.#logs.get(id);
    this.#logs.delete(id);
    log ??= lasting(() => new Log(unbegunWith(id) !== null ? emptyLog : {
      page: async (bound, limit) => {
        const page = await http.messages(id, bound, limit);
        for (const m of page.messages) this.#confirm(m);
        return page;
      },
      entries: async (after, limit) => {
        const missed = await http.entries(id, after, limit);
        for (const e of missed.entries) this.#confirm(e);
        return missed;
      },
    }));
    this.#logs.set(id, log);
    for (const [old, unused] of this.#logs) {
      if (this.#logs.size <= keptLogs) break;
      this.#logs.delete(old);
      unused.forget();
    }
    return log;
  }

  /** Makes a conversation known that is not on the list. */
  async fetch(id: string): Promise<void> {
    const user_id = unbegunWith(id);
    if (user_id !== null) {
      const [person] = user_id === this.me ? [] : await http.peopleById([user_id]);
      if (!person) throw new ApiError('not_found');
      this.people.put([person]);
      return;
    }
    this.#put(await http.conversation(id));
  }

  /**
   * Makes a group known that the user left or was removed from, to read what they may of it.
   * Rejects with not_found for all others.
   */
  async recall(id: string): Promise<void> {
    const [c, { messages }] = await Promise.all([http.former(id), http.messages(id, {}, pageRows)]);
    // Their own departure is the last entry. All of it counts as read.
    this.conversations.recall({ ...c, role: 'member', delivered_seq: c.last_seq, read_seq: c.last_seq }, messages.at(-1)!);
  }

  /** One looks away from a group that one is no longer in: it goes, unless there is something in it that was not sent. */
  dismiss(id: string): void {
    if (!this.conversations.left(id)) return;
    this.drafts.change(id, { answering: undefined, editing: undefined }); // its text may still be wanted
    if (!this.pending.has(id)) this.conversations.dismiss(id);
  }

  /** A conversation that exists, or is begun with the first message. */
  conversation(id: string): Conversation | undefined {
    const user_id = unbegunWith(id);
    const person = user_id !== null && user_id !== this.me ? this.people.get(user_id) : undefined;
    return person ? { ...unbegun(this.me, person), blocked: this.blocks.has(person.id) } : this.conversations.get(id);
  }

  /** The path of the conversation with a person, whether it exists or not. */
  pathTo(user_id: string): string {
    const c = this.conversations.direct(user_id);
    return pathOf(c?.id ?? unbegunId(user_id));
  }

  /** A conversation was begun, here or elsewhere: what was written for it before goes on in it. */
  #begun({ id, kind, members }: Conversation): void {
    if (kind !== 'direct') return;
    for (const { user_id } of members) {
      if (user_id === this.me) continue;
      const from = unbegunId(user_id);
      this.drafts.move(from, id);
      if (this.pending.has(from)) void this.outbox.move(from, id).catch(asApiError);
    }
  }

  async #loadOutbox(): Promise<void> {
    await this.outbox.load();
    for (const id of this.pending.keys()) {
      const c = this.conversations.direct(unbegunWith(id) ?? '');
      if (c) this.#begun(c);
    }
  }

  async #openDirect(user_id: string): Promise<string> {
    try {
      const c = this.conversations.direct(user_id) ?? (await http.openDirect(user_id));
      this.#put(c);
      return c.id;
    } catch (err) {
      throw tryAgain(asApiError(err));
    }
  }

  /** Creates a group and gives its id; with the same client_id, title and members the same one. */
  async createGroup(client_id: string, title: string, member_ids: string[]): Promise<string> {
    const c = await http.createGroup(client_id, title, member_ids);
    this.#put(c);
    return c.id;
  }

  /** Renames a group, or sets what those who come later see. */
  async changeGroup(id: string, change: GroupChange): Promise<void> {
    this.#put(await http.patchConversation(id, change));
  }

  /** Changes how one is told of a conversation. */
  async changeNotify(id: string, change: NotifyChange): Promise<void> {
    this.#put(await http.changeNotify(id, change));
  }

  /** Takes a conversation off the list until its next entry, or puts it back. */
  async archive(id: string, archived: boolean): Promise<void> {
    this.#put(await http.archive(id, archived));
  }

  /** Accepts what a person writes who is not among the user's contacts. */
  async accept(id: string): Promise<void> {
    await http.accept(id);
    this.conversations.change(id, { accepted: true });
  }

  /** A block decides whether the direct conversation takes messages; the other side may block as well. */
  #blockChanged(user_id: string): void {
    const c = this.conversations.direct(user_id);
    if (!c) return;
    if (this.blocks.has(user_id)) this.conversations.change(c.id, { blocked: true });
    else void this.#refresh(c.id);
  }

  /** How far a message of one's own has got. */
  progress(id: string, seq: number): Progress {
    return this.conversations.marks(id)?.progress(seq, session.tellsRead) ?? 'sent';
  }

  /** Who is in a group; the same for all who ask. */
  roster(id: string): Roster {
    let roster = this.#rosters.get(id);
    if (!roster) this.#rosters.set(id, (roster = lasting(() => new Roster(id, this))));
    return roster;
  }

  /** The ids of those in a group whom a text names. */
  async #named(id: string, body: string): Promise<string[]> {
    const roster = this.roster(id);
    await roster.want();
    if (!roster.error) return named(body, roster.people);
    throw tryAgain(roster.error);
  }

  async #hello(hello: Hello): Promise<void> {
    if (hello.user_id !== this.me) {
      await session.check(); // another tab signed somebody else in
      return;
    }
    const first = this.#epoch === null;
    const afresh = !first && this.#epoch !== hello.epoch;
    const known = this.#epoch ?? hello.epoch;
    this.#epoch = hello.epoch;
    connection.up(hello.server_version);
    this.outbox.drainAll();
    if (afresh) this.receipts.clear(); // they are of entries that may be others now
    this.receipts.connected();
    this.people.retry();
    for (const log of this.#logs.values()) log.retry();
    this.presence.connected();
    if (afresh) {
      // Restored from a backup: what is held may never have happened.
      for (const log of this.#logs.values()) log.forget();
      this.conversations.clear();
      this.announcer.clear();
    }
    // The list also tells what other devices have read meanwhile, which sync does not.
    if (!this.conversations.loaded) await this.list();
    else if (!first) void this.list();
    void this.#countReports();
    if (!first) void session.check(); // what others get to know may have been changed elsewhere
    await this.#sync(hello, known);
    await this.#loaded;
    // What was written for a group that one was removed from meanwhile has to be found somewhere.
    // So has what was written to a person before the conversation was in any list.
    for (const id of this.pending.keys()) {
      if (!this.conversations.get(id) && unbegunWith(id) === null) void this.fetch(id).catch(() => this.recall(id)).catch(asApiError);
    }
  }

  /** How many reports wait for an admin, and what was told while there was no connection. */
  async #countReports(): Promise<void> {
    if (session.me?.role !== 'admin') return;
    // Not among the requests that the first conversation waits for.
    await new Promise((resolve) => setTimeout(resolve, reportsDelay));
    try {
      const { countOpen } = await import('../api/reports');
      reports.open = await countOpen();
      reports.told++;
    } catch {
      // The next event tells.
    }
  }

  /** Asks for what was missed, in as many parts as it takes to name all that is held. */
  async #sync(hello: Hello, known_epoch: string): Promise<void> {
    const ids = this.conversations.held().map(([id]) => id);
    for (let end = maxHeld, after: string | undefined; ; end += maxHeld) {
      const up_to = ids.length > end ? ids[end - 1] : undefined;
      await this.#syncPart(hello, known_epoch, after, up_to);
      if (!(after = up_to)) return;
    }
  }

  /** Asks about the conversations between two ids until there is no more of it: an answer is bounded. */
  async #syncPart(hello: Hello, known_epoch: string, after?: string, up_to?: string): Promise<void> {
    const part = () => this.conversations.held().filter(([id]) => (!after || id > after) && (!up_to || id <= up_to));
    let held = this.#held(part());
    for (let failures = 0; this.#socket.connected && this.#epoch === hello.epoch; ) {
      try {
        const last_entries = this.conversations.lastEntries(Object.keys(held));
        const missed = await this.#socket.request<Missed>('sync', { conversations: held, last_entries, known_epoch, after, up_to });
        if (!this.#missed(missed, held)) return;
        // Open logs fetch the rest of theirs over HTTP, and need not be told again.
        held = Object.fromEntries(part());
        known_epoch = hello.epoch;
      } catch (err) {
        const e = asApiError(err);
        if (e.code === 'offline') return; // comes again after the reconnect
        const wait = waitAfter(++failures, e);
        if (wait === null) return; // it would be refused again
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  #held(part: [string, number][]): Record<string, number> {
    const held = Object.fromEntries(part);
    for (const [id, log] of this.#logs) {
      if (log.held !== null && id in held) held[id] = Math.min(held[id]!, log.held);
    }
    return held;
  }

  /** Takes the answer to a sync with what was held. Gives whether the next one would tell more. */
  #missed(missed: Missed, held: Record<string, number>): boolean {
    for (const id of missed.reset ?? []) {
      this.#logs.get(id)?.forget();
      this.conversations.forget(id);
      this.announcer.forget(id);
      delete held[id];
    }
    const told = new Set(missed.conversations.map((c) => c.id));
    // One that came to be known meanwhile is no news.
    const news = missed.conversations.some((c) => c.last_seq > (held[c.id] ?? (this.conversations.get(c.id) ? Infinity : -1)));
    for (const c of missed.conversations) this.#put(c);
    for (const e of missed.entries) this.#entry(e);
    for (const c of missed.conversations) this.#logs.get(c.id)?.reaches(c.last_seq);
    this.conversations.loaded = true;
    this.listError = null;
    // Of one that was left nothing is told but its entries, and they come in parts as well.
    const former = missed.more.some((id) => !told.has(id) && missed.entries.some((e) => e.conversation_id === id));
    return former || (news && missed.more.some((id) => !told.has(id)));
  }

  #entry(e: Entry): void {
    if (!this.conversations.apply(e)) void this.#refresh(e.conversation_id);
    this.#logs.get(e.conversation_id)?.apply(e);
    this.#confirm(e);
    this.announcer.hear(e);
    this.#rosters.get(e.conversation_id)?.apply(e);
    if (e.kind === 'message' || e.kind === 'member_left') this.typing.stopped(e.conversation_id, e.sender_id);
    if (e.sender_id !== this.me) this.receipts.mark('delivered', e.conversation_id, e.seq);
  }

  #put(c: Conversation): void {
    this.conversations.put(c);
    this.people.put(c.members.map((m) => ({ ...m, id: m.user_id })));
    this.#begun(c);
    // All of it, although only the last message may be here: a notification is owed while
    // something is not delivered, and the list tells what one would, the last message and
    // how many are unread. The rest is fetched when the conversation is opened.
    if (c.delivered_seq < c.last_seq) this.receipts.mark('delivered', c.id, c.last_seq);
    // A mark is answered before it is written: a crash forgets it.
    const read_seq = this.conversations.get(c.id)?.read_seq ?? 0;
    if (read_seq > c.read_seq) this.receipts.mark('read', c.id, read_seq);
  }

  #confirm(e: Entry): void {
    if (e.sender_id === this.me && e.client_id) this.outbox.confirm(e.client_id);
  }

  /** Asks for a conversation whose count cannot be told here, until there is an answer. */
  async #refresh(id: string, failures = 0): Promise<void> {
    clearTimeout(this.#refreshing.get(id));
    this.#refreshing.delete(id);
    if (this.#over.signal.aborted) return;
    try {
      await this.fetch(id);
    } catch (err) {
      const wait = waitAfter(failures + 1, asApiError(err));
      if (wait === null) return; // no longer theirs to know
      clearTimeout(this.#refreshing.get(id));
      this.#refreshing.set(id, setTimeout(() => void this.#refresh(id, failures + 1), wait));
    }
  }
}
