import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { passwordProblem, usernameFrom, usernameProblem } from '../src/lib/account';
import { ApiError, toApiError } from '../src/lib/api/errors';
import { deviceOf } from '../src/lib/device';
import { words } from '../src/lib/i18n';
import { Conversations, titleOf } from '../src/lib/state/conversations.svelte';
import { People } from '../src/lib/state/people.svelte';
import { rank } from '../src/lib/search';
import { Receipts } from '../src/lib/state/receipts';
import { excess, utf8Length, wellFormed } from '../src/lib/text/length';
import { uuidv7 } from '../src/lib/uuid';
import { conversation, me, message, you } from './make';

describe('uuid', () => {
  test('has the form of version 7 and the time in it', () => {
    const now = Date.UTC(2030, 0, 1);
    const id = uuidv7(now);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(parseInt(id.slice(0, 13).replace('-', ''), 16)).toBe(now);
  });

  test('sorts in the order of making: within a millisecond, beyond 4096, and when the clock goes back', () => {
    const now = Date.UTC(2030, 0, 2);
    const ids = Array.from({ length: 10_000 }, (_, i) => uuidv7(i < 9000 ? now : now - 5000));
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('conversations', () => {
  const list = (): Conversations => new Conversations(me);
  const entry = (seq: number, o = {}) => message(seq, { conversation_id: 'c', ...o });

  test('an entry moves a conversation up and counts', () => {
    const c = list();
    c.put(conversation({ id: 'c', last_seq: 5, last_entry_at: '2026-01-01T00:00:00Z' }));
    c.put(conversation({ id: 'd', last_seq: 5, last_entry_at: '2026-01-02T00:00:00Z' }));
    expect(c.sorted.map((x) => x.id)).toEqual(['d', 'c']);
    expect(c.apply(entry(6, { created_at: '2026-01-03T00:00:00Z' }))).toBe(true);
    flushSync();
    expect(c.sorted.map((x) => x.id)).toEqual(['c', 'd']);
    expect(c.get('c')).toMatchObject({ unread: 1, last_seq: 6, last_message: { body: 'text 6' } });
    expect(c.told(Date.now())).toBe(1);
  });

  test('an entry seen before changes nothing; one after a hole asks the server', () => {
    const c = list();
    c.put(conversation({ last_seq: 5, unread: 2 }));
    expect(c.apply(entry(5))).toBe(true);
    expect(c.get('c')!.unread).toBe(2);
    expect(c.apply(entry(8))).toBe(false);
    expect(c.get('c')!.last_seq).toBe(8);
    expect(c.apply(entry(1, { conversation_id: 'unknown' }))).toBe(false);
  });

  test('what a deleted user wrote leaves the preview, and the server counts what is unread', () => {
    const c = list();
    c.put(conversation({ last_seq: 5, unread: 1, last_message: message(5, { sender_id: you }), last_entry_at: '2026-01-01T00:00:00Z' }));
    const erased = { conversation_id: 'c', seq: 6, kind: 'messages_erased' as const, sender_id: you, user_id: you, created_at: '2026-01-03T00:00:00Z' };
    expect(c.apply(erased)).toBe(false);
    expect(c.get('c')).toMatchObject({ last_seq: 6, last_message: { seq: 5, deleted: true }, last_entry_at: '2026-01-01T00:00:00Z' });
    expect(c.get('c')!.last_message).not.toHaveProperty('body');
  });

  test('a deleted user is called so, in titles and by name, without the username', () => {
    const c = list();
    const gone = { id: you, username: 'deleted-0123456789abcdef01234567', display_name: 'Named by the server', role: 'member' as const, deleted: true };
    c.put(conversation({ title: '' }));
    c.renamed(gone);
    expect(titleOf(c.get('c')!, me)).toBe('Deleted user');
    c.put(conversation({ last_seq: 9, members: [{ ...gone, user_id: you }] }));
    expect(c.get('c')!.members).toMatchObject([{ username: '', display_name: 'Deleted user' }]);
    const people = new People(() => Promise.resolve([]));
    people.put([gone, { ...gone, id: 'another' }]);
    expect([people.label(you), people.label('another')]).toEqual(['Deleted user', 'Deleted user']);
    expect(people.mentioned([you], me)).toEqual([]);
  });

  test('who writes has read', () => {
    const c = list();
    c.put(conversation({ last_seq: 5, unread: 2 }));
    c.apply(entry(6, { sender_id: me }));
    expect(c.get('c')).toMatchObject({ unread: 0, read_seq: 6 });
  });

  test('reading takes off the count, partly or wholly, and never goes back', () => {
    const c = list();
    c.put(conversation({ last_seq: 10, read_seq: 5, unread: 5 }));
    c.read('c', 8, 3);
    expect(c.get('c')).toMatchObject({ unread: 2, read_seq: 8 });
    c.read('c', 6, 1);
    expect(c.get('c')).toMatchObject({ unread: 2, read_seq: 8 });
    c.read('c', 10, 1);
    expect(c.get('c')).toMatchObject({ unread: 0, read_seq: 10 });
  });

  test('marks from other devices clear the count, or ask the server', () => {
    const c = list();
    const receipt = { conversation_id: 'c', delivered_seq: 0 };
    c.put(conversation({ last_seq: 10, read_seq: 5, unread: 5 }));
    expect(c.receipt({ ...receipt, user_id: you, read_seq: 10 })).toBe(true);
    expect(c.get('c')!.unread).toBe(5);
    expect(c.receipt({ ...receipt, user_id: me, read_seq: 7 })).toBe(false);
    expect(c.receipt({ ...receipt, user_id: me, read_seq: 10 })).toBe(true);
    expect(c.get('c')!.unread).toBe(0);
  });

  test('what the server says late does not undo what is known', () => {
    const c = list();
    c.put(conversation({ last_seq: 10, read_seq: 10, unread: 0 }));
    c.apply(entry(11));
    c.put(conversation({ last_seq: 10, read_seq: 5, unread: 5 }));
    expect(c.get('c')).toMatchObject({ last_seq: 11, unread: 1 });
    c.read('c', 11, 1);
    c.put(conversation({ last_seq: 12, read_seq: 5, unread: 7 }));
    expect(c.get('c')).toMatchObject({ last_seq: 12, read_seq: 11, unread: 1 });
  });

  test('the conversation with somebody is found, also among those with oneself in them', () => {
    const c = list();
    c.put(conversation());
    expect(c.direct(you)?.id).toBe('c');
    expect(c.direct(me)).toBe(undefined);
    expect(c.direct('nobody')).toBe(undefined);
  });
});

describe('receipts', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('are gathered; the highest is sent; reading implies having', () => {
    const sent: unknown[] = [];
    const r = new Receipts({ connected: () => true, closed: () => false, send: async (...args) => void sent.push(args) });
    for (const seq of [3, 5, 4]) r.mark('delivered', 'a', seq);
    r.mark('delivered', 'b', 9);
    r.mark('read', 'b', 9);
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(250);
    expect(sent).toEqual([
      ['read', 'b', 9],
      ['delivered', 'a', 5],
    ]);
    r.mark('delivered', 'a', 0);
    vi.advanceTimersByTime(250);
    expect(sent).toHaveLength(2);
  });

  test('wait for a connection, and are owed again if it went', async () => {
    const sent: number[] = [];
    let connected = false;
    let fail = true;
    const r = new Receipts({
      connected: () => connected,
      closed: () => false,
      send: async (_mark, _id, seq) => {
        sent.push(seq);
        if (fail) throw new ApiError('offline');
      },
    });
    r.mark('read', 'a', 3);
    vi.advanceTimersByTime(1000);
    expect(sent).toEqual([]);
    connected = true;
    r.flush();
    await vi.advanceTimersByTimeAsync(0);
    fail = false;
    r.flush();
    await vi.advanceTimersByTimeAsync(0);
    r.flush();
    expect(sent).toEqual([3, 3]);
  });
});

describe('receipts that were answered', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const setUp = () => {
    const sent: string[] = [];
    const r = new Receipts({ connected: () => true, closed: () => false, send: async (...args) => void sent.push(args.join(' ')) });
    return { r, take: () => sent.splice(0) };
  };

  test('within the last minute of saying any are said again to the next connection', async () => {
    const { r, take } = setUp();
    r.mark('read', 'long ago', 1);
    await vi.advanceTimersByTimeAsync(61_000);
    for (const seq of [3, 4]) {
      r.mark('read', 'a', seq);
      r.mark('delivered', 'b', seq);
      await vi.advanceTimersByTimeAsync(1_000);
    }
    take();
    await vi.advanceTimersByTimeAsync(3_600_000); // however long it was away
    for (let i = 0; i < 2; i++) {
      r.connected();
      await vi.advanceTimersByTimeAsync(1_000);
      expect(take()).toEqual(['read a 4', 'delivered b 4']);
    }
    r.clear();
    r.connected();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(take()).toEqual([]);
  });

  test('are said again at the pace of all', async () => {
    const { r, take } = setUp();
    for (let i = 0; i < 30; i++) r.mark('delivered', `c${i}`, 1);
    await vi.advanceTimersByTimeAsync(1_000);
    take();
    r.connected();
    expect(take()).toHaveLength(10);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(take()).toHaveLength(20);
  });
});

describe('many receipts', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('go out at a pace that leaves room for others', async () => {
    const sent: number[] = [];
    const r = new Receipts({ connected: () => true, closed: () => false, send: async () => void sent.push(Date.now()) });
    for (let i = 0; i < 300; i++) r.mark('delivered', `c${i}`, 1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toHaveLength(300);
    for (const t of sent) expect(sent.filter((u) => u >= t && u < t + 1000).length).toBeLessThan(50);
  });

  test('refused for now go again by themselves; refused for good do not', async () => {
    const sent: string[] = [];
    const faults: (ApiError | undefined)[] = [new ApiError('rate_limited', '', [], 5), new ApiError('not_found')];
    const r = new Receipts({
      connected: () => true,
      closed: () => false,
      send: async (_mark, id) => {
        sent.push(id);
        const fault = faults.shift();
        if (fault) throw fault;
      },
    });
    r.mark('delivered', 'later', 1);
    r.mark('delivered', 'gone', 1);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(sent).toEqual(['later', 'gone']);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toEqual(['later', 'gone', 'later']);
  });
});

describe('the length of a message', () => {
  test.each([
    ['letters', 'a'.repeat(16_384), 0],
    ['one letter more', 'a'.repeat(16_385), 1],
    ['two bytes each', 'é'.repeat(8_192), 0],
    ['two bytes each, one more', 'é'.repeat(8_193), 1],
    ['three bytes each, which do not fit evenly', '語'.repeat(5_462), 1],
    ['what JSON escapes', '"\\'.repeat(8_192), 0],
    ['control characters, six bytes each in JSON', '\u0001'.repeat(16_384), 0],
    ['line breaks', '\n'.repeat(16_390), 6],
    ['a family of emoji that the limit cuts', 'a'.repeat(16_380) + '👨‍👩‍👧‍👦', 1],
    ['three families of emoji beyond it', 'a'.repeat(16_384) + '👨‍👩‍👧‍👦'.repeat(3), 3],
    ['much more than fits', 'é'.repeat(100_000), 91_808],
  ])('is counted as the server counts it, and its excess in characters: %s', (_, body, over) => {
    expect(excess(body)).toBe(over);
  });

  test('agrees with the limit in bytes for every text', () => {
    for (const char of ['a', 'é', '語', '😀', '\u0001', '\ud800']) {
      const size = utf8Length(char);
      const most = Math.floor(16_384 / size);
      expect(excess(char.repeat(most))).toBe(0);
      expect(excess(char.repeat(most) + 'a'.repeat(16_384 - most * size))).toBe(0);
      expect(excess(char.repeat(most + 1))).toBeGreaterThan(0);
    }
  });

  test('half of a pair is replaced, and nothing else', () => {
    expect(wellFormed('a\ud83d b\ude00 😀')).toBe('a\ufffd b\ufffd 😀');
  });
});

describe('finding', () => {
  test.each([
    ['ada', 'Ada Lovelace', 5],
    ['love', 'Ada Lovelace', 4],
    ['lo ad', 'Ada Lovelace', 4],
    ['vela', 'Ada Lovelace', 3],
    ['jose', 'José Ñúñez', 5],
    ['NUN', 'José Ñúñez', 4],
    ['b.o', 'b.okri', 5],
    ['okri', 'b.okri', 4],
    ['Book Club', 'Book club', 6],
    ['bc', 'Book Club', 2],
    ['bocl', 'Book Club', 2],
    ['club bok', 'Book Club', 0],
    ['lovlace', 'Ada Lovelace', 1],
    ['lovvelace', 'Ada Lovelace', 1],
    ['lvoelace', 'Ada Lovelace', 1],
    ['lobelace ada', 'Ada Lovelace', 1],
    ['xovelace', 'Ada Lovelace', 0],
    ['ann', 'Adrian Bonner', 0],
    ['', 'Anybody', 1],
  ])('%j in %j ranks %d', (query, text, want) => {
    expect(rank(query, text)).toBe(want);
  });

  test('a name made to be slow is not', () => {
    const start = performance.now();
    expect(rank(`${'a'.repeat(40)}b`, 'a '.repeat(100))).toBe(0);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe('words', () => {
  test('for every kind of refusal', () => {
    const said = (status: number, body?: unknown, after = 0): string => words(toApiError(body, status, after));
    expect(said(400, { code: 'invalid', detail: 'The name is too long.' })).toBe('The name is too long.');
    expect(said(502)).toContain('right now');
    expect(said(500, '<html>')).toContain('went wrong at the server');
    expect(said(429, { code: 'rate_limited', detail: 'x' }, 240)).toContain('in 4 minutes');
    expect(said(429, undefined, 1)).toContain('in 1 second.');
    expect(said(418)).not.toBe('');
  });

  test('for one field', () => {
    const err = toApiError({ code: 'invalid', errors: [{ location: 'body.username', message: 'is taken' }, { location: 1 }] }, 400);
    expect(err.field('username')).toBe('is taken');
    expect(err.field('name')).toBe(undefined);
  });
});

describe('accounts', () => {
  test('a username is proposed from the name, and checked', () => {
    expect(usernameFrom('Ada Lovelace')).toBe('ada.lovelace');
    expect(usernameFrom('  Åsa  Öberg-Smith ')).toBe('asa.oberg.smith');
    expect(usernameFrom('李小龙')).toBe('');
    expect(usernameProblem('ada.lovelace')).toBe(undefined);
    for (const bad of ['', 'a', 'Ada', 'a b', 'a'.repeat(33)]) expect(usernameProblem(bad)).not.toBe(undefined);
    for (const bad of ['', '1234567', 'x'.repeat(257)]) expect(passwordProblem(bad)).not.toBe(undefined);
    expect(passwordProblem('12345678')).toBe(undefined);
  });

  test('a browser is known by its name', () => {
    const ua = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';
    expect(deviceOf(ua)).toEqual({ browser: 'Chrome', system: 'Linux' });
    expect(deviceOf('Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1')).toEqual({ browser: 'Safari', system: 'iOS' });
    // Another program, by what it calls itself.
    expect(deviceOf('curl/8.0')).toEqual({ browser: 'curl', system: '' });
    expect(deviceOf('Bridge 2.1 (Linux)')).toEqual({ browser: 'Bridge', system: 'Linux' });
    expect(deviceOf('Mozilla/5.0 (compatible)')).toEqual({ browser: '', system: '' });
    expect(deviceOf('')).toEqual({ browser: '', system: '' });
  });
});
