import 'fake-indexeddb/auto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Conversation } from '../src/lib/api/types';
import type { Live } from '../src/lib/state/live.svelte';
import { mounted } from './effect.svelte';
import { conversation, me, message, you } from './make';

interface Frame {
  type: string;
  id: string;
  data: Record<string, unknown>;
}

/** The server's side of the socket, and its HTTP. */
class FakeServer {
  list: Conversation[] = [];
  /** Whom the user blocks. */
  blocks: object[] = [];
  one: (id: string, url: URL) => Response = () => new Response('{}', { status: 503 });
  create: (body: unknown) => Response = () => new Response('{}', { status: 503 });
  asked: string[] = [];
  frames: { frame: Frame; at: number }[] = [];
  /** What a frame is answered with; an empty reply unless told. */
  answer: (f: Frame) => object = () => ({ type: 'reply', data: {} });
  receive: (event: object) => void = () => {};

  fetch = async (at: string, { method, body } = { method: 'GET', body: '' }): Promise<Response> => {
    if (method === 'POST') return this.create(JSON.parse(body));
    const url = new URL(at);
    const path = url.pathname.replace('/api/v1/', '');
    this.asked.push(path);
    if (path === 'blocks') return Response.json({ users: this.blocks });
    return path === 'conversations' ? Response.json({ conversations: this.list }) : this.one(path.split('/')[1]!, url);
  };

  sent(type: string): Frame['data'][] {
    return this.frames.filter((f) => f.frame.type === type).map((f) => f.frame.data);
  }
}

let server: FakeServer;
let live: Live;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
  server = new FakeServer();
  vi.stubGlobal('document', { baseURI: 'http://test/', visibilityState: 'visible', addEventListener: () => {} });
  vi.stubGlobal('addEventListener', () => {});
  vi.stubGlobal('matchMedia', () => ({ matches: true }));
  vi.stubGlobal('navigator', { languages: [] });
  vi.stubGlobal('fetch', server.fetch);
  vi.stubGlobal('WebSocket', class {
    onmessage: ((e: { data: string }) => void) | null = null;
    constructor() {
      server.receive = (event) => this.onmessage?.({ data: JSON.stringify(event) });
    }
    send(text: string): void {
      const frame = JSON.parse(text) as Frame;
      server.frames.push({ frame, at: Date.now() });
      const answer = frame.type.startsWith('presence.') ? { type: 'reply', data: { users: [] } } : server.answer(frame);
      queueMicrotask(() => server.receive({ id: frame.id, ...answer }));
    }
    close(): void {}
  });
  const { Live } = await import('../src/lib/state/live.svelte');
  live = new Live(me);
});

afterEach(async () => {
  await live.outbox.clear();
  live.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const missed = (data: object = {}): object => ({ type: 'reply', data: { conversations: [], entries: [], more: [], ...data } });

/** Starts, and is greeted. */
async function connected(): Promise<void> {
  live.start();
  await vi.waitFor(() => expect(live.conversations.loaded).toBe(true));
  server.receive({ type: 'hello', data: { user_id: me, session_id: 's', epoch: 'e', heartbeat_s: 1e6, server_version: '1' } });
  await vi.waitFor(() => expect(server.sent('sync')).toHaveLength(1));
}

test('presence is watched again when a block or a request ends', async () => {
  server.list = [conversation({ id: 'c', last_seq: 1 })];
  server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
  await connected();
  live.presence.watch(you);
  await vi.advanceTimersByTimeAsync(1000);
  const watches = (): number => server.sent('presence.watch').length;
  expect(watches()).toBe(1);
  const ends = [
    { type: 'conversation', data: conversation({ id: 'c', last_seq: 1 }) },
    { type: 'block', data: { user_id: you, blocked: false } },
  ];
  for (const [i, event] of ends.entries()) {
    server.receive({ type: 'block', data: { user_id: you, blocked: true } });
    server.receive({ type: 'conversation', data: conversation({ id: 'c', last_seq: 1, blocked: true }) });
    await vi.advanceTimersByTimeAsync(1000);
    expect(watches()).toBe(1 + i);
    server.receive(event);
    await vi.advanceTimersByTimeAsync(1000);
    expect(watches()).toBe(2 + i);
  }
});

describe('what the list shows', () => {
  test('counts as delivered: the person is told of it here', async () => {
    server.list = [conversation({ id: 'c', last_seq: 7, unread: 3, delivered_seq: 4, last_message: message(7) })];
    server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
    await connected();
    await vi.advanceTimersByTimeAsync(250);
    expect(server.sent('receipt.delivered')).toEqual([{ conversation_id: 'c', seq: 7 }]);
  });

  test('as read less far than it was here is said again: a crash forgot it', async () => {
    server.list = [conversation({ id: 'c', last_seq: 7, unread: 3, delivered_seq: 7, read_seq: 4 })];
    server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
    await connected();
    live.conversations.read('c', 7, 3);
    live.receipts.mark('read', 'c', 7);
    await vi.advanceTimersByTimeAsync(250);
    await live.list();
    await vi.advanceTimersByTimeAsync(250);
    const said = { conversation_id: 'c', seq: 7 };
    expect(server.sent('receipt.read')).toEqual([said, said]);
    server.list = [conversation({ id: 'c', last_seq: 7, delivered_seq: 7, read_seq: 7 })];
    await live.list();
    await vi.advanceTimersByTimeAsync(250);
    expect(server.sent('receipt.read')).toHaveLength(2);
  });

  test('is asked for until there is an answer, once its count cannot be told', async () => {
    server.list = [conversation({ id: 'c', last_seq: 5 })];
    server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
    await connected();
    server.receive({ type: 'entry', data: message(8) });
    const tries = (): number => server.asked.filter((p) => p === 'conversations/c').length;
    await vi.advanceTimersByTimeAsync(0);
    expect(tries()).toBe(1);
    server.one = () => Response.json(conversation({ id: 'c', last_seq: 8, unread: 3 }));
    await vi.advanceTimersByTimeAsync(3_000);
    await vi.waitFor(() => expect(live.conversations.get('c')!.unread).toBe(3));
    await vi.advanceTimersByTimeAsync(300_000);
    expect(tries()).toBe(2);

    // Somebody who may not know of it any more does not ask again.
    server.one = () => new Response('{}', { status: 404 });
    server.receive({ type: 'entry', data: message(10) });
    await vi.advanceTimersByTimeAsync(300_000);
    expect(tries()).toBe(3);
  });
});

test('a conversation that this client read too slowly is fetched again, and its open log filled', async () => {
  server.list = [conversation({ id: 'c', last_seq: 1 })];
  server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
  await connected();
  server.one = () => Response.json({ messages: [message(1)], has_before: false, has_after: false, last_seq: 1 });
  await live.log('c').open();
  server.one = (_, url) =>
    url.pathname.endsWith('/entries')
      ? Response.json({ entries: [message(2), message(3)], last_seq: 3 })
      : Response.json(conversation({ id: 'c', last_seq: 3, unread: 2 }));
  server.receive({ type: 'behind', data: { conversation_id: 'c', last_seq: 3 } });
  await vi.waitFor(() => expect(live.log('c').rows.map((m) => m.seq)).toEqual([1, 2, 3]));
  await vi.waitFor(() => expect(live.conversations.get('c')!.unread).toBe(2));
});

test('what is kept of a conversation outlives the component that asked for it first', async () => {
  server.one = () => Response.json({ messages: [message(1)], has_before: false, has_after: false, last_seq: 1 });
  live.people.put([{ id: you, username: 'you', display_name: 'You' }]);
  mounted(() => void [live.log('c').rows, live.roster('c').members])();
  await live.log('c').open();
  live.log('c').apply(message(2));
  live.roster('c').apply({ ...message(3), kind: 'member_added', user_id: you });
  mounted(() => {
    expect(live.log('c').rows).toHaveLength(2);
    expect(live.roster('c').members).toHaveLength(1);
  })();
});

test('a group is created with the idempotency key of its form', async () => {
  server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
  await connected();
  const asked: unknown[] = [];
  server.create = (body) => (asked.push(body), Response.json(conversation({ id: 'new', kind: 'group', title: 'Book club' })));
  expect(await live.createGroup('key', 'Book club', [you])).toBe('new');
  expect(asked).toEqual([{ kind: 'group', client_id: 'key', title: 'Book club', member_ids: [you] }]);
  expect(live.conversations.get('new')!.title).toBe('Book club');
});

test('a direct conversation without a message is listed only while it is open or something is written in it', async () => {
  const at = (n: number): string => new Date(Date.UTC(2026, 0, n)).toISOString();
  server.list = [
    conversation({ id: 'talk', last_seq: 2, last_entry_at: at(4) }),
    conversation({ id: 'looked at', last_seq: 1, last_entry_at: at(3) }),
    conversation({ id: 'group', kind: 'group', last_seq: 1, last_entry_at: at(2) }),
  ];
  server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
  await connected();
  const listed = (open = ''): string[] => live.listed(open).map((c) => c.id);
  expect(listed()).toEqual(['talk', 'group']);
  expect(listed('looked at')).toEqual(['talk', 'looked at', 'group']);
  live.drafts.change('looked at', { text: 'hel' });
  expect(listed()).toEqual(['talk', 'looked at', 'group']);
  live.drafts.change('looked at', { text: '' });
  expect(listed()).toEqual(['talk', 'group']);
  server.receive({ type: 'entry', data: { ...message(2), conversation_id: 'looked at' } });
  expect(listed()).toContain('looked at');
});

describe('a person with whom there is no conversation yet', () => {
  const to = `to-${you}`;
  const theirs = conversation({ id: 'c', last_seq: 2, members: [{ user_id: me, role: 'member', username: 'me', display_name: 'Me' }, { user_id: you, role: 'member', username: 'you', display_name: 'You' }] });

  beforeEach(() => {
    server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: { conversation_id: 'c', seq: 3, created_at: '' } });
    live.people.put([{ id: you, username: 'you', display_name: 'You' }]);
  });

  test('is listed first while something is written or unsent for them, or they are open', async () => {
    server.list = [conversation({ id: 'talk', kind: 'group', title: 'Talk', last_seq: 2 })];
    await connected();
    const listed = (open = ''): string[] => live.listed(open).map((c) => c.id);
    expect(listed()).toEqual(['talk']);
    expect(listed(to)).toEqual([to, 'talk']);
    live.drafts.change(to, { text: 'hel' });
    expect(listed()).toEqual([to, 'talk']);
    live.drafts.change(to, { text: '' });
    expect(listed()).toEqual(['talk']);
    void live.outbox.enqueue(to, 'hello');
    expect(listed()).toEqual([to, 'talk']);
  });

  test('keeps what was written for them when they write first', async () => {
    server.create = () => new Response('{"code":"not_found","detail":"no"}', { status: 404, headers: { 'Content-Type': 'application/problem+json' } });
    await connected();
    live.drafts.change(to, { text: 'half a sentence' });
    void live.outbox.enqueue(to, 'refused');
    await vi.waitFor(() => expect(live.pending.get(to)).toMatchObject([{ state: 'failed' }]));
    server.receive({ type: 'conversation', data: theirs });
    await vi.waitFor(() => expect(live.pending.get('c')).toMatchObject([{ body: 'refused', state: 'failed' }]));
    expect(live.drafts.get('c').text).toBe('half a sentence');
    expect(live.listed('').map((c) => c.id)).toEqual(['c']);
  });

  test('gets the message although creating the conversation failed while the socket was connected', async () => {
    let tries = 0;
    server.create = () => {
      if (++tries === 1) throw new TypeError('Failed to fetch');
      return Response.json(theirs);
    };
    await connected();
    void live.outbox.enqueue(to, 'hello');
    await vi.waitFor(async () => {
      await vi.advanceTimersByTimeAsync(1_000);
      expect(server.sent('message.send')).toMatchObject([{ conversation_id: 'c', body: 'hello' }]);
    });
    expect(tries).toBe(2);
  });
});

test('a conversation whose log went another way is started afresh, and no other one', async () => {
  server.list = [conversation({ id: 'c', last_seq: 7, title: 'lost' }), conversation({ id: 'd', last_seq: 3, last_message: message(3) })];
  server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
  await connected();
  server.receive({ type: 'entry', data: { ...message(8), conversation_id: 'c' } });
  server.answer = (f) =>
    f.type === 'sync' ? missed({ conversations: [conversation({ id: 'c', last_seq: 6, title: 'kept' })], more: ['c'], reset: ['c'] }) : { type: 'reply', data: {} };
  server.list = [];
  server.frames.length = 0;
  server.receive({ type: 'hello', data: { user_id: me, session_id: 's', epoch: 'e', heartbeat_s: 1e6, server_version: '1' } });
  await vi.advanceTimersByTimeAsync(100);
  expect(server.sent('sync')[0]).toMatchObject({
    conversations: { c: 8, d: 3 },
    last_entries: { c: { seq: 8, created_at: message(8).created_at }, d: { seq: 3, created_at: message(3).created_at } },
  });
  expect(live.conversations.get('c')).toMatchObject({ last_seq: 6, title: 'kept' });
  expect(live.conversations.get('d')).toMatchObject({ last_seq: 3 });
});

test('what was said to be read is said again to the next connection, unless it is to a server restored from a backup', async () => {
  server.list = [conversation({ id: 'c', last_seq: 7 })];
  server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: {} });
  await connected();
  const hello = async (epoch: string): Promise<unknown[]> => {
    server.frames.length = 0;
    server.receive({ type: 'hello', data: { user_id: me, session_id: 's', epoch, heartbeat_s: 1e6, server_version: '1' } });
    await vi.advanceTimersByTimeAsync(1_000);
    return server.sent('receipt.read');
  };
  server.list = [];
  live.receipts.mark('read', 'c', 7);
  await vi.advanceTimersByTimeAsync(250);
  expect(await hello('e')).toEqual([{ conversation_id: 'c', seq: 7 }]);
  expect(await hello('restored')).toEqual([]);
});

describe('a group that one was removed from', () => {
  const end = { ...message(9), kind: 'member_removed', user_id: me };
  const left = conversation({ kind: 'group', title: 'Book club', former: true, last_seq: 9, members: [], last_message: message(8) });
  /** The group as it was then, and the newest page of its log. */
  const page = (id: string, url: URL): Response =>
    url.searchParams.get('former') === 'true'
      ? Response.json({ ...left, id })
      : Response.json({ messages: [message(8), end], has_before: true, has_after: false, last_seq: 9 });

  beforeEach(() => {
    server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'error', error: { code: 'not_found' } });
  });

  test('can be read again until the user looks away, and what they were writing is kept', async () => {
    await connected();
    server.one = page;
    await live.recall('c');
    expect(live.conversations.get('c')).toMatchObject({ title: 'Book club', last_seq: 9, read_seq: 9, unread: 0, last_message: { seq: 8 } });
    expect(live.conversations.left('c')).toMatchObject({ kind: 'member_removed', seq: 9 });
    live.drafts.change('c', { text: 'half a sentence' });
    live.dismiss('c');
    expect(live.conversations.get('c')).toBe(undefined);
    expect(live.drafts.get('c').text).toBe('half a sentence');
    server.one = () => new Response('{}', { status: 404 });
    await expect(live.recall('d')).rejects.toThrow('not_found');
  });

  test('is on the list while something written for it was not sent', async () => {
    void live.outbox.enqueue('c', 'written on the train');
    server.one = page;
    await connected();
    await vi.waitFor(() => expect(live.conversations.left('c')).not.toBe(undefined));
    await vi.waitFor(() => expect(live.pending.get('c')).toMatchObject([{ state: 'failed', code: 'not_found' }]));
    live.dismiss('c');
    expect(live.conversations.get('c')).not.toBe(undefined);
    await live.outbox.remove(live.pending.get('c')![0]!.client_id);
    live.dismiss('c');
    expect(live.conversations.get('c')).toBe(undefined);
  });
});

test('whom a message names that was written before the members were known is found out before it is sent', async () => {
  server.list = [conversation({ id: 'c', kind: 'group' })];
  server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: { conversation_id: 'c', seq: 2, created_at: '' } });
  let members = (): Response => new Response('{}', { status: 503 });
  server.one = () => members();
  await connected();
  void live.outbox.enqueue('c', 'hi @zoe', { mentions_open: true });
  void live.outbox.enqueue('c', 'more');
  expect(live.pending.get('c')?.map((p) => p.body)).toEqual(['hi @zoe', 'more']);
  await vi.waitFor(() => expect(server.asked).toContain('conversations/c/members'));
  expect(server.sent('message.send')).toEqual([]);
  members = () => Response.json({ members: [{ user_id: 'id-zoe', role: 'member', username: 'zoe', display_name: 'Zoe' }] });
  await vi.waitFor(async () => {
    await vi.advanceTimersByTimeAsync(1_000);
    expect(server.sent('message.send')).toMatchObject([{ body: 'hi @zoe', mentions: ['id-zoe'] }, { body: 'more' }]);
  });
});

test('a sync that the server cannot answer now is asked for again, at least every half minute', async () => {
  server.answer = (f) => (f.type === 'sync' ? { type: 'error', error: { code: 'unavailable' } } : { type: 'reply', data: {} });
  await connected();
  await vi.advanceTimersByTimeAsync(150_000);
  const times = server.frames.filter((f) => f.frame.type === 'sync').map((f) => f.at);
  expect(times.slice(2).map((t, i) => t - times[i + 1]!)).toEqual([6_000, 12_000, 24_000, 30_000, 30_000, 30_000]);
});

test('what one sync cannot name is asked for in parts, which leave no conversation out', async () => {
  const ids = Array.from({ length: 2_500 }, () => crypto.randomUUID());
  server.list = ids.map((id) => conversation({ id, last_seq: 3, delivered_seq: 3 }));
  server.answer = missed;
  live.start();
  await vi.waitFor(() => expect(live.conversations.loaded).toBe(true));
  server.receive({ type: 'hello', data: { user_id: me, session_id: 's', epoch: 'e', heartbeat_s: 1e6, server_version: '1' } });
  await vi.waitFor(() => expect(server.sent('sync')).toHaveLength(3));
  const parts = server.sent('sync') as { conversations: Record<string, number>; after?: string; up_to?: string }[];
  ids.sort();
  expect(parts.flatMap((p) => Object.keys(p.conversations))).toEqual(ids);
  expect(parts.map((p) => p.after)).toEqual([undefined, ids[999], ids[1_999]]);
  expect(parts.map((p) => p.up_to)).toEqual([ids[999], ids[1_999], undefined]);
});

describe('a person who is not accepted or is blocked', () => {
  const refused = { type: 'error', error: { code: 'forbidden', detail: 'You cannot write to this person.' } };

  beforeEach(() => {
    server.answer = (f) => (f.type === 'sync' ? missed() : { type: 'reply', data: { conversation_id: 'c', seq: 3, created_at: '' } });
  });

  test('is told neither of reading nor of typing until the user accepts', async () => {
    server.list = [conversation({ id: 'c', last_seq: 2, unread: 2, accepted: false })];
    await connected();
    live.receipts.mark('read', 'c', 2);
    live.typing.typed('c');
    await vi.advanceTimersByTimeAsync(5_000);
    expect(server.sent('receipt.read')).toEqual([]);
    expect(server.sent('typing.start')).toEqual([]);
    expect(server.sent('receipt.delivered')).toEqual([{ conversation_id: 'c', seq: 2 }]);
    server.receive({ type: 'conversation', data: conversation({ id: 'c', last_seq: 3, accepted: true }) });
    live.receipts.mark('read', 'c', 3);
    live.typing.typed('d'); // so that it is said again
    live.typing.typed('c');
    await vi.advanceTimersByTimeAsync(5_000);
    expect(server.sent('receipt.read')).toEqual([{ conversation_id: 'c', seq: 3 }]);
    expect(server.sent('typing.start')).toEqual([{ conversation_id: 'c' }]);
  });

  test('gets no message twice: one that is refused stays, and is not tried again', async () => {
    server.list = [conversation({ id: 'c', last_seq: 2 })];
    server.answer = (f) => (f.type === 'sync' ? missed() : refused);
    await connected();
    void live.outbox.enqueue('c', 'hello');
    await vi.waitFor(() => expect(live.pending.get('c')).toMatchObject([{ state: 'failed', code: 'forbidden', detail: 'You cannot write to this person.' }]));
    live.outbox.drainAll();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.sent('message.send')).toHaveLength(1);
    await live.outbox.remove(live.pending.get('c')![0]!.client_id);
    expect(live.pending.get('c')).toBe(undefined);
  });

  test('is known as blocked before the list is shown, and by the events of other devices', async () => {
    server.list = [conversation({ id: 'c', last_seq: 2 })];
    server.blocks = [{ id: you, username: 'you', display_name: 'You' }];
    await connected();
    expect(live.blocks.has(you)).toBe(true);
    live.people.put([{ id: 'ann', username: 'ann', display_name: 'Ann' }]);
    server.receive({ type: 'block', data: { user_id: 'ann', blocked: true } });
    await vi.waitFor(() => expect(live.conversation('to-ann')!.blocked).toBe(true));
    server.receive({ type: 'block', data: { user_id: 'ann', blocked: false } });
    await vi.waitFor(() => expect(live.conversation('to-ann')!.blocked).toBe(false));
  });
});
