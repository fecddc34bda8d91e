import 'fake-indexeddb/auto';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError } from '../src/lib/api/errors';
import type { Sent } from '../src/lib/api/types';
import type { Pending } from '../src/lib/group';
import { Outbox } from '../src/lib/state/outbox';
import { openOutboxStore, waiting, type OutboxStore, type Queued } from '../src/lib/state/outbox-store';

/** A server that stores each client_id once, and whose answers can be lost. */
class FakeServer {
  connected = true;
  stored: { client_id: string; conversation_id: string; body: string }[] = [];
  inFlight = new Map<string, number>();
  mostInFlight = 0;
  calls: string[] = [];
  /** What becomes of the next calls, instead of an answer. */
  faults: (ApiError | 'lost' | undefined)[] = [];

  async send(item: Queued): Promise<Sent> {
    this.calls.push(item.client_id);
    const flying = (this.inFlight.get(item.conversation_id) ?? 0) + 1;
    this.inFlight.set(item.conversation_id, flying);
    this.mostInFlight = Math.max(this.mostInFlight, flying);
    await new Promise((resolve) => setTimeout(resolve, 1));
    this.inFlight.set(item.conversation_id, flying - 1);
    const fault = this.faults.shift();
    if (fault instanceof ApiError) throw fault;
    if (!this.connected) throw new ApiError('offline');
    let at = this.stored.findIndex((m) => m.client_id === item.client_id);
    if (at < 0) at = this.stored.push({ client_id: item.client_id, conversation_id: item.conversation_id, body: item.body }) - 1;
    if (fault === 'lost') throw new ApiError('offline'); // stored, but nobody was told
    return { conversation_id: item.conversation_id, seq: at + 1, client_id: item.client_id, created_at: '2026-01-01T00:00:00Z' };
  }

  bodies(conversation_id: string): string[] {
    return this.stored.filter((m) => m.conversation_id === conversation_id).map((m) => m.body);
  }
}

/** One lock a name, as the browser has for all its tabs. */
function locks(): (name: string, f: () => Promise<void>) => Promise<void> {
  const held = new Map<string, Promise<void>>();
  return (name, f) => {
    const run = (held.get(name) ?? Promise.resolve()).then(f);
    held.set(name, run.catch(() => {}));
    return run;
  };
}

let names = 0;
/** Creates the conversation with somebody. */
let begin: (id: string) => Promise<string>;
let server: FakeServer;
let store: OutboxStore;
let name: string;
let exclusively: ReturnType<typeof locks>;

function tab(o: { store?: OutboxStore; user_id?: string } = {}): { outbox: Outbox; shown: Map<string, Pending[]>; waits: number[] } {
  const shown = new Map<string, Pending[]>();
  const waits: number[] = [];
  const outbox = new Outbox({
    store: o.store ?? store,
    user_id: o.user_id ?? 'me',
    send: (item) => server.send(item),
    connected: () => server.connected,
    exclusively,
    begin: (id) => (id.startsWith('to-') ? begin(id) : undefined),
    onChange: (id, pending) => shown.set(id, pending),
    announce: () => {},
    sleep: async (ms) => void waits.push(ms),
  });
  return { outbox, shown, waits };
}

const empty = async (user = 'me'): Promise<void> => vi.waitFor(async () => expect(await store.all(user)).toEqual([]));

beforeEach(() => {
  server = new FakeServer();
  name = `outbox-${names++}`;
  store = openOutboxStore(name);
  exclusively = locks();
});

test('what waits for the server can be counted before it is known who is signed in', async () => {
  server.connected = false;
  const { outbox } = tab({ user_id: 'me' });
  for (const body of ['1', '2']) await outbox.enqueue('c', body);
  await tab({ user_id: 'you' }).outbox.enqueue('c', 'mine');
  const [first] = await store.all('me');
  await store.put({ ...first!, state: 'failed' }); // not to be sent by itself
  expect(await waiting(name, 'me')).toBe(1);
  expect(await waiting(name, 'nobody')).toBe(0);
  expect(await waiting(name, null)).toBe(0);
});

describe('sending', () => {
  test('shows a message at once, and as sent until the log has it', async () => {
    const { outbox, shown } = tab();
    const done = outbox.enqueue('c', 'hello');
    expect(shown.get('c')).toMatchObject([{ body: 'hello', state: 'queued' }]);
    await done;
    await vi.waitFor(() => expect(shown.get('c')).toMatchObject([{ state: 'sent', seq: 1 }]));
    await empty();
    outbox.confirm(server.stored[0]!.client_id);
    expect(shown.get('c')).toEqual([]);
  });

  test('is in order and one at a time in each conversation, side by side in several', async () => {
    const { outbox } = tab();
    for (let i = 0; i < 20; i++) {
      void outbox.enqueue('a', `a${i}`);
      void outbox.enqueue('b', `b${i}`);
    }
    await vi.waitFor(() => expect(server.stored).toHaveLength(40));
    expect(server.bodies('a')).toEqual(Array.from({ length: 20 }, (_, i) => `a${i}`));
    expect(server.bodies('b')).toEqual(Array.from({ length: 20 }, (_, i) => `b${i}`));
    expect(server.mostInFlight).toBe(1);
  });

  test('without a connection only writes down; with one, sends all of it', async () => {
    server.connected = false;
    const { outbox, shown } = tab();
    for (const body of ['1', '2', '3']) await outbox.enqueue('c', body);
    expect(server.calls).toEqual([]);
    expect(shown.get('c')?.map((p) => p.state)).toEqual(['queued', 'queued', 'queued']);
    server.connected = true;
    outbox.drainAll();
    await empty();
    expect(server.bodies('c')).toEqual(['1', '2', '3']);
  });

  test('goes on where a closed page left off, with the same ids', async () => {
    server.connected = false;
    const first = tab();
    for (const body of ['1', '2', '3']) await first.outbox.enqueue('c', body);
    const ids = (await store.all('me')).map((i) => i.client_id);

    server.connected = true;
    const second = tab({ store: openOutboxStore(name) });
    await second.outbox.load();
    expect(second.shown.get('c')?.map((p) => p.body)).toEqual(['1', '2', '3']);
    second.outbox.drainAll();
    await empty();
    expect(server.stored.map((m) => m.client_id)).toEqual(ids);
    expect(server.bodies('c')).toEqual(['1', '2', '3']);
  });

  test('what a message answers and whom it names goes along, over a reload too', async () => {
    server.connected = false;
    const first = tab();
    await first.outbox.enqueue('c', 'yes, @ada', { reply_to: 7, mentions: ['ada'] });
    expect(first.shown.get('c')).toMatchObject([{ reply_to: 7, mentions: ['ada'] }]);
    const sent: Queued[] = [];
    vi.spyOn(server, 'send').mockImplementation(async (item) => {
      sent.push(item);
      return { conversation_id: 'c', seq: 1, client_id: item.client_id, created_at: item.created_at };
    });
    server.connected = true;
    const second = tab({ store: openOutboxStore(name) });
    await second.outbox.load();
    second.outbox.drainAll();
    await empty();
    expect(sent).toMatchObject([{ body: 'yes, @ada', reply_to: 7, mentions: ['ada'] }]);
  });

  test('what older pages queued, without any of that, is sent as it is', async () => {
    await store.put({ client_id: 'old', user_id: 'me', conversation_id: 'c', body: 'old', created_at: '2026-01-01T00:00:00Z', place: '0', state: 'queued' });
    const { outbox, shown } = tab();
    await outbox.load();
    expect(shown.get('c')).toEqual([{ client_id: 'old', conversation_id: 'c', body: 'old', created_at: '2026-01-01T00:00:00Z', state: 'queued' }]);
    outbox.drainAll();
    await empty();
    expect(server.bodies('c')).toEqual(['old']);
  });

  test('keeps its order over reloads while the clock is set back again and again', async () => {
    const now = Date.UTC(2026, 5, 1);
    vi.useFakeTimers({ toFake: ['Date'], now });
    try {
      server.connected = false;
      const bodies = ['first', 'second', 'third', 'fourth'];
      for (const [i, body] of bodies.entries()) {
        vi.setSystemTime(now - i * 86_400_000);
        vi.resetModules(); // a new page: it does not know what time it was on the last one
        const { Outbox } = await import('../src/lib/state/outbox');
        const { openOutboxStore } = await import('../src/lib/state/outbox-store');
        const shown: string[][] = [];
        const outbox = new Outbox({
          store: openOutboxStore(name),
          user_id: 'me',
          send: (item) => server.send(item),
          connected: () => server.connected,
          exclusively,
          onChange: (_, pending) => shown.push(pending.map((p) => p.body)),
          announce: () => {},
        });
        await outbox.load();
        await outbox.enqueue('c', body);
        expect(shown.at(-1)).toEqual(bodies.slice(0, i + 1));
      }
      server.connected = true;
      const last = tab({ store: openOutboxStore(name) });
      await last.outbox.load();
      last.outbox.drainAll();
      await empty();
      expect(server.bodies('c')).toEqual(bodies);
    } finally {
      vi.useRealTimers();
    }
  });

  test('puts what is sent again last, whatever the clock says', async () => {
    server.faults = [new ApiError('forbidden')];
    const { outbox, shown } = tab();
    await outbox.enqueue('c', 'refused at first');
    await vi.waitFor(() => expect(shown.get('c')?.[0]?.state).toBe('failed'));
    server.connected = false;
    await outbox.enqueue('c', 'written meanwhile');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2020, 0, 1) });
    await outbox.retry(shown.get('c')!.find((p) => p.state === 'failed')!.client_id);
    vi.useRealTimers();
    expect((await store.all('me')).map((i) => i.body)).toEqual(['written meanwhile', 'refused at first']);
    expect(shown.get('c')!.map((p) => p.body)).toEqual(['written meanwhile', 'refused at first']);
  });

  test('takes what older pages queued first, in their order', async () => {
    server.connected = false;
    const { outbox } = tab();
    await outbox.enqueue('c', 'new');
    const old = { user_id: 'me', conversation_id: 'c', created_at: '2026-01-01T00:00:00Z', state: 'queued' as const };
    await store.put({ ...old, client_id: 'b', body: 'old 2', place: '2' });
    await store.put({ ...old, client_id: 'a', body: 'old 1', place: '1' });
    await outbox.load();
    await outbox.enqueue('c', 'newer');
    server.connected = true;
    outbox.drainAll();
    await empty();
    expect(server.bodies('c')).toEqual(['old 1', 'old 2', 'new', 'newer']);
  });

  test('of several tabs is that in which they were queued', async () => {
    server.connected = false;
    const tabs = [tab(), tab({ store: openOutboxStore(name) })];
    const bodies = Array.from({ length: 12 }, (_, i) => `${i}`);
    for (const [i, body] of bodies.entries()) await tabs[i % 2]!.outbox.enqueue('c', body);
    expect((await store.all('me')).map((i) => i.body)).toEqual(bodies);
  });

  test('of what was stored but not answered leaves one copy', async () => {
    server.faults = ['lost'];
    const { outbox } = tab();
    await outbox.enqueue('c', 'once');
    await vi.waitFor(() => expect(server.calls).toHaveLength(1));
    await vi.waitFor(() => expect(server.inFlight.get('c')).toBe(0));
    await new Promise((resolve) => setTimeout(resolve, 5));
    outbox.drainAll();
    await empty();
    expect(server.calls).toHaveLength(2);
    expect(server.calls[0]).toBe(server.calls[1]);
    expect(server.bodies('c')).toEqual(['once']);
  });

  test('stops asking once the log shows it', async () => {
    server.faults = ['lost'];
    const { outbox, shown } = tab();
    await outbox.enqueue('c', 'seen');
    await vi.waitFor(() => expect(server.stored).toHaveLength(1));
    outbox.confirm(server.stored[0]!.client_id);
    await empty();
    expect(shown.get('c')).toEqual([]);
    outbox.drainAll();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(server.calls).toHaveLength(1);
  });

  test('an entry that is faster than the answer leaves nothing behind', async () => {
    const { outbox, shown } = tab();
    const sending = server.send.bind(server);
    server.send = async (item) => {
      const sent = await sending(item);
      outbox.confirm(item.client_id);
      return sent;
    };
    await outbox.enqueue('c', 'quick');
    await empty();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(shown.get('c')).toEqual([]);
  });
});

describe('refusals', () => {
  test('that pass are tried again, ever more slowly, without letting others by', async () => {
    server.faults = [new ApiError('unavailable'), new ApiError('unavailable'), new ApiError('rate_limited', '', [], 7)];
    const { outbox, waits } = tab();
    await outbox.enqueue('c', '1');
    await outbox.enqueue('c', '2');
    await empty();
    expect(server.bodies('c')).toEqual(['1', '2']);
    expect(waits).toHaveLength(3);
    expect(waits[0]).toBeGreaterThanOrEqual(500);
    expect(waits[1]).toBeGreaterThanOrEqual(1000);
    expect(waits[2]).toBeGreaterThanOrEqual(7000);
  });

  test('for sending too fast make a long outbox wait as long as the server says, and lose nothing', async () => {
    const many = Array.from({ length: 60 }, (_, i) => String(i));
    server.faults = many.flatMap((_, i) => (i % 3 === 2 ? [new ApiError('rate_limited', '', [], 4), undefined] : [undefined]));
    const { outbox, waits } = tab();
    for (const body of many) await outbox.enqueue('c', body);
    await empty();
    expect(server.bodies('c')).toEqual(many);
    expect(waits).toHaveLength(20);
    for (const wait of waits) expect(wait).toBeGreaterThanOrEqual(4000);
  });

  test('that last are said, and the next message goes on', async () => {
    server.faults = [new ApiError('too_large', 'It is too long.')];
    const { outbox, shown } = tab();
    await outbox.enqueue('c', '1');
    await outbox.enqueue('c', '2');
    await vi.waitFor(() => expect(server.bodies('c')).toEqual(['2']));
    await vi.waitFor(() =>
      expect(shown.get('c')).toMatchObject([{ state: 'sent', body: '2' }, { state: 'failed', body: '1', code: 'too_large', detail: 'It is too long.' }]),
    );
    expect(await store.all('me')).toMatchObject([{ state: 'failed', body: '1' }]);
  });

  test('an error of the server’s own is taken for lasting after five tries', async () => {
    server.faults = Array.from({ length: 5 }, () => new ApiError('internal'));
    const { outbox, shown } = tab();
    await outbox.enqueue('c', '1');
    await vi.waitFor(() => expect(shown.get('c')).toMatchObject([{ state: 'failed', code: 'internal' }]));
    expect(server.calls).toHaveLength(5);
  });

  test('a failed message can be sent again under its id, after the others', async () => {
    server.faults = [new ApiError('forbidden')];
    const { outbox, shown } = tab();
    await outbox.enqueue('c', '1');
    await vi.waitFor(() => expect(shown.get('c')?.[0]?.state).toBe('failed'));
    const id = shown.get('c')![0]!.client_id;
    await outbox.retry(id);
    await empty();
    expect(server.stored).toMatchObject([{ client_id: id, body: '1' }]);
  });

  test('after a conflict it needs another id', async () => {
    server.faults = [new ApiError('conflict')];
    const { outbox, shown } = tab();
    await outbox.enqueue('c', '1');
    await vi.waitFor(() => expect(shown.get('c')?.[0]?.state).toBe('failed'));
    const id = shown.get('c')![0]!.client_id;
    let left: Queued[] = [];
    const remove = store.delete.bind(store);
    store.delete = async (gone) => {
      await remove(gone);
      if (gone === id) left = await store.all('me');
    };
    await outbox.retry(id);
    await empty();
    expect(left).toMatchObject([{ body: '1' }]); // the new one is there before the old one goes
    expect(server.stored).toHaveLength(1);
    expect(server.stored[0]!.client_id).not.toBe(id);
  });

  test('a failed message can be given up, also after a reload', async () => {
    server.faults = [new ApiError('forbidden')];
    const first = tab();
    await first.outbox.enqueue('c', '1');
    await vi.waitFor(async () => expect((await store.all('me'))[0]?.state).toBe('failed'));
    const second = tab();
    await second.outbox.load();
    second.outbox.drainAll();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(server.calls).toHaveLength(1); // failed ones wait to be told
    await second.outbox.remove(second.shown.get('c')![0]!.client_id);
    await empty();
    expect(second.shown.get('c')).toEqual([]);
  });

  test('a device without room says so and keeps the text on the page', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const full: OutboxStore = { durable: true, append: () => Promise.reject(new Error('full')), put: async () => {}, delete: async () => {}, all: async () => [] };
    const { outbox, shown } = tab({ store: full });
    expect(await outbox.enqueue('c', 'precious')).toBe(false);
    expect(shown.get('c')).toMatchObject([{ state: 'failed', code: 'storage', body: 'precious' }]);
    await outbox.load(); // as whenever another tab announces something
    expect(shown.get('c')).toMatchObject([{ state: 'failed', code: 'storage', body: 'precious' }]);
    await outbox.remove(shown.get('c')![0]!.client_id);
    await outbox.load();
    expect(shown.get('c')).toEqual([]);
    vi.restoreAllMocks();
  });

  test('a refusal that cannot be written down is final all the same, and says what it was', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const put = store.put.bind(store);
    store.put = async (item) => {
      if (item.state === 'failed') throw new Error('full');
      await put(item);
    };
    server.faults = Array.from({ length: 100 }, () => new ApiError('forbidden', 'No.'));
    const { outbox, shown } = tab();
    expect(await outbox.enqueue('c', '1')).toBe(true);
    await vi.waitFor(() => expect(shown.get('c')).toMatchObject([{ state: 'failed', code: 'forbidden', detail: 'No.' }]));
    server.faults = [];
    await outbox.enqueue('c', '2');
    await vi.waitFor(() => expect(server.bodies('c')).toEqual(['2']));
    await outbox.load();
    outbox.drainAll();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.calls).toHaveLength(2);
    expect(shown.get('c')).toContainEqual(expect.objectContaining({ body: '1', state: 'failed', code: 'forbidden' }));

    await outbox.retry(shown.get('c')!.find((p) => p.body === '1')!.client_id);
    await vi.waitFor(() => expect(server.bodies('c')).toEqual(['2', '1']));
    vi.restoreAllMocks();
  });
});

describe('several tabs', () => {
  test('send one after the other what each has queued', async () => {
    const tabs = [tab(), tab()];
    for (let i = 0; i < 10; i++) for (const [n, t] of tabs.entries()) await t.outbox.enqueue('c', `${n}${i}`);
    await empty();
    expect(server.mostInFlight).toBe(1);
    expect(server.stored).toHaveLength(20);
    expect(new Set(server.calls).size).toBe(20);
  });

  test('one sends what another queued and could not', async () => {
    server.connected = false;
    const a = tab();
    await a.outbox.enqueue('c', 'from a');
    server.connected = true;
    const b = tab();
    await b.outbox.load();
    b.outbox.drainAll();
    await empty();
    expect(server.bodies('c')).toEqual(['from a']);
  });

  test('reading anew does not lose what is just being written', async () => {
    server.connected = false;
    const { outbox, shown } = tab();
    const writing = outbox.enqueue('c', 'now');
    await outbox.load();
    expect(shown.get('c')).toMatchObject([{ body: 'now' }]);
    await writing;
  });

  test('what one person queued is not sent by another', async () => {
    server.connected = false;
    await tab({ user_id: 'ada' }).outbox.enqueue('c', 'ada’s');
    server.connected = true;
    const ben = tab({ user_id: 'ben' });
    await ben.outbox.load();
    ben.outbox.drainAll();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(server.calls).toEqual([]);
    expect(ben.shown.size).toBe(0);
  });
});

describe('the store', () => {
  test('is opened anew when its connection has come to an end', async () => {
    const open = vi.spyOn(indexedDB, 'open');
    const own = openOutboxStore(`${name}-again`);
    const item = { client_id: '1', user_id: 'me', conversation_id: 'c', body: '', created_at: '', place: '1', state: 'queued' } as const;
    await own.put(item);
    // The browser does so when it is short of memory or somebody clears its data.
    const db = open.mock.results[0]!.value.result as IDBDatabase;
    db.close();
    db.onclose!(new Event('close'));
    expect(await own.all('me')).toEqual([item]);
    // Another page wants it for itself.
    await new Promise((resolve) => (indexedDB.deleteDatabase(`${name}-again`).onsuccess = resolve));
    await own.put(item);
    expect(await own.all('me')).toEqual([item]);
    vi.restoreAllMocks();
  });
});

describe('the first message to a person', () => {
  test('creates the conversation, and what was queued follows in its order', async () => {
    const begun = vi.fn(async () => 'c');
    begin = begun;
    server.connected = false;
    const { outbox, shown } = tab();
    for (const body of ['one', 'two', 'three']) await outbox.enqueue('to-ben', body);
    expect(shown.get('to-ben')).toHaveLength(3);
    expect(begun).not.toHaveBeenCalled();

    // Another page goes on with it, as after a reload.
    server.connected = true;
    const next = tab();
    await next.outbox.load();
    next.outbox.drainAll();
    await empty();
    expect(server.bodies('c')).toEqual(['one', 'two', 'three']);
    expect(server.stored).toHaveLength(3);
    expect(begun).toHaveBeenCalledOnce();
    expect(next.shown.get('to-ben')).toEqual([]);
  });

  test('is sent once although the answers are lost, and waits where there is no connection', async () => {
    const ids = [new ApiError('offline'), new ApiError('unavailable'), 'c'];
    begin = async () => {
      const next = ids.shift() ?? 'c';
      if (next instanceof ApiError) throw next;
      return next as string;
    };
    server.faults = ['lost'];
    const { outbox, shown } = tab();
    await outbox.enqueue('to-ben', 'hello');
    await vi.waitFor(() => expect(ids).toHaveLength(2));
    expect(shown.get('to-ben')).toMatchObject([{ body: 'hello', state: 'queued' }]);
    outbox.drainAll(); // connected again; then the server is busy for a moment
    await vi.waitFor(() => expect(server.calls).toHaveLength(1));
    await vi.waitFor(() => expect(shown.get('c')).toMatchObject([{ body: 'hello' }]));
    outbox.drainAll();
    await empty();
    expect(server.stored).toEqual([{ client_id: server.calls[0], conversation_id: 'c', body: 'hello' }]);
    expect(new Set(server.calls).size).toBe(1);
  });

  test('follows to the conversation although it was refused before', async () => {
    begin = async () => {
      throw new ApiError('not_found', 'There is no such person.');
    };
    const { outbox, shown } = tab();
    await outbox.enqueue('to-ben', 'hello');
    await vi.waitFor(() => expect(shown.get('to-ben')).toMatchObject([{ state: 'failed' }]));
    await outbox.move('to-ben', 'c');
    expect(shown.get('to-ben')).toEqual([]);
    expect(shown.get('c')).toMatchObject([{ body: 'hello', state: 'failed', detail: 'There is no such person.' }]);
    expect(await store.all('me')).toMatchObject([{ conversation_id: 'c', state: 'failed' }]);
  });

  test('does not come back when another tab has sent it meanwhile', async () => {
    server.connected = false;
    const { outbox, shown } = tab();
    await outbox.enqueue('to-ben', 'hello');
    await store.delete(shown.get('to-ben')![0]!.client_id);
    await outbox.move('to-ben', 'c');
    expect(await store.all('me')).toEqual([]);
  });

  test('says so where the conversation is refused, and can be tried again', async () => {
    begin = async () => {
      throw new ApiError('not_found', 'There is no such person.');
    };
    const { outbox, shown } = tab();
    await outbox.enqueue('to-ben', 'hello');
    await vi.waitFor(() => expect(shown.get('to-ben')).toMatchObject([{ state: 'failed', detail: 'There is no such person.' }]));
    begin = async () => 'c';
    await outbox.retry(shown.get('to-ben')![0]!.client_id);
    await empty();
    expect(server.bodies('c')).toEqual(['hello']);
  });
});
