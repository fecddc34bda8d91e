import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError } from '../src/lib/api/errors';
import { backoff, endOf, Socket } from '../src/lib/api/socket';

/** A socket without a network. */
class FakeWebSocket {
  sent: { type: string; id: string; data: unknown }[] = [];
  closed = false;
  readonly OPEN = 1;
  readyState = 1;
  onmessage: ((e: { data: string }) => void) | null = null;
  onclose: ((e: { code: number }) => void) | null = null;

  send(frame: string): void {
    this.sent.push(JSON.parse(frame));
  }

  close(): void {
    this.closed = true;
  }

  receive(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  hello(): void {
    this.receive({ type: 'hello', data: { user_id: 'u', session_id: 's', epoch: 'e', heartbeat_s: 30, server_version: '1' } });
  }

  drop(code = 1006): void {
    this.onclose?.({ code });
  }
}

function setUp(random = () => 1) {
  const dialled: FakeWebSocket[] = [];
  const handlers = {
    hello: vi.fn(),
    down: vi.fn(),
    refused: vi.fn(),
    ended: vi.fn(),
    entry: vi.fn(),
    conversation: vi.fn(),
    receipt: vi.fn(),
    presence: vi.fn(),
    typing: vi.fn(),
    user: vi.fn(),
    behind: vi.fn(),
    session: vi.fn(),
    block: vi.fn(),
    report: vi.fn(),
  };
  const socket = new Socket({
    url: () => 'ws://test/api/v1/socket',
    handlers,
    random,
    connect: () => {
      const ws = new FakeWebSocket();
      dialled.push(ws);
      return ws as unknown as WebSocket;
    },
  });
  return { socket, handlers, dialled, last: () => dialled.at(-1)! };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('reconnecting', () => {
  test('waits a random time up to a bound that doubles to 30 s', () => {
    const bounds = [0, 1, 2, 3, 4, 5, 6, 60].map((tries) => backoff(tries, () => 1));
    expect(bounds).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    expect(backoff(10, () => 0)).toBe(0);
    expect(backoff(10, () => 0.25)).toBe(7500);
  });

  test('spreads a restart’s clients evenly', () => {
    const waits = Array.from({ length: 2000 }, () => backoff(4, Math.random));
    const quarters = [0, 0, 0, 0];
    for (const w of waits) quarters[Math.floor(w / 4000)]!++;
    for (const n of quarters) expect(n).toBeGreaterThan(400);
  });

  test('comes back after every try, ever more slowly, and tells when', () => {
    const { socket, handlers, dialled, last } = setUp();
    socket.start();
    for (const wait of [1000, 2000, 4000, 8000, 16000, 30000, 30000]) {
      const before = dialled.length;
      last().drop();
      expect(handlers.down).toHaveBeenLastCalledWith(Date.now() + wait);
      vi.advanceTimersByTime(wait - 1);
      expect(dialled).toHaveLength(before);
      vi.advanceTimersByTime(1);
      expect(dialled).toHaveLength(before + 1);
    }
    expect(handlers.refused).toHaveBeenCalledTimes(7); // none of them got as far as hello
  });

  test('a connection that lasted starts over with short waits; one that did not, does not', () => {
    const { socket, handlers, last } = setUp();
    socket.start();
    last().drop();
    vi.advanceTimersByTime(1000);
    last().hello();
    vi.advanceTimersByTime(1000);
    last().drop(4000);
    expect(handlers.down).toHaveBeenLastCalledWith(Date.now() + 2000);
    vi.advanceTimersByTime(2000);
    last().hello();
    vi.advanceTimersByTime(5000);
    last().drop(4000);
    expect(handlers.down).toHaveBeenLastCalledWith(Date.now() + 1000);
  });

  test.each([1000, 1001, 1006, 1013, 4000, 4001, 4002, 4499])('comes back after close code %i', (code) => {
    const { socket, handlers, dialled, last } = setUp();
    socket.start();
    last().hello();
    last().drop(code);
    vi.advanceTimersByTime(1000);
    expect(dialled).toHaveLength(2);
    expect(handlers.ended).not.toHaveBeenCalled();
  });

  test.each([
    [4500, 'not_authenticated'],
    [4501, 'session_ended'],
    [4502, 'protocol'],
    [4503, 'replaced'],
    [4999, 'protocol'],
  ])('does not come back after close code %i', (code, why) => {
    const { socket, handlers, dialled, last } = setUp();
    socket.start();
    last().drop(code);
    vi.advanceTimersByTime(120_000);
    expect(dialled).toHaveLength(1);
    expect(handlers.ended).toHaveBeenCalledExactlyOnceWith(why);
    expect(endOf(code)).toBe(why);
  });

  test('a server that accepts and then says nothing is given up', () => {
    const { socket, dialled, last } = setUp();
    socket.start();
    vi.advanceTimersByTime(15_000);
    expect(last().closed).toBe(true);
    vi.advanceTimersByTime(1000);
    expect(dialled).toHaveLength(2);
  });

  test('waking up tries at once instead of waiting', () => {
    const { socket, dialled, last } = setUp();
    socket.start();
    last().drop();
    socket.wake();
    expect(dialled).toHaveLength(2);
    vi.advanceTimersByTime(10_000);
    expect(dialled).toHaveLength(2); // the wait that was cut short does not dial again
  });

  test('stopped is stopped', () => {
    const { socket, handlers, dialled, last } = setUp();
    socket.start();
    const ws = last();
    ws.hello();
    socket.stop();
    expect(ws.closed).toBe(true);
    vi.advanceTimersByTime(120_000);
    expect(dialled).toHaveLength(1);
    expect(handlers.down).not.toHaveBeenCalled();
  });
});

describe('requests', () => {
  test('get their own answer', async () => {
    const { socket, last } = setUp();
    socket.start();
    last().hello();
    const a = socket.request<{ n: number }>('a', {});
    const b = socket.request('b', {});
    const [fa, fb] = last().sent;
    last().receive({ type: 'error', id: fb!.id, error: { code: 'forbidden', detail: 'No.' } });
    last().receive({ type: 'reply', id: fa!.id, data: { n: 1 } });
    expect(await a).toEqual({ n: 1 });
    await expect(b).rejects.toMatchObject({ code: 'forbidden', detail: 'No.' });
  });

  test('that are refused say when to go on', async () => {
    const { socket, last } = setUp();
    socket.start();
    last().hello();
    const a = socket.request('a', {});
    last().receive({ type: 'error', id: last().sent[0]!.id, error: { code: 'rate_limited', detail: 'Wait.', retry_after: 3 } });
    await expect(a).rejects.toMatchObject({ code: 'rate_limited', retryAfter: 3 });
  });

  test('before hello and without a connection are refused as offline', async () => {
    const { socket, last } = setUp();
    await expect(socket.request('a', {})).rejects.toMatchObject({ code: 'offline' });
    socket.start();
    await expect(socket.request('a', {})).rejects.toMatchObject({ code: 'offline' });
    expect(last().sent).toEqual([]);
  });

  test('while it closes are refused as offline', async () => {
    const { socket, last } = setUp();
    socket.start();
    last().hello();
    last().readyState = 2;
    await expect(socket.request('message.send', {})).rejects.toMatchObject({ code: 'offline' });
    expect(last().sent).toEqual([]);
  });

  test('too large for the server are refused here, for it would close the connection', async () => {
    const { socket, last } = setUp();
    socket.start();
    last().hello();
    for (const body of ['a'.repeat(61_500), '語'.repeat(20_500), '\u0001'.repeat(61_500)]) {
      await expect(socket.request('a', { body })).rejects.toMatchObject({ code: 'too_large' });
    }
    expect(last().sent).toEqual([]);
  });

  test('of the longest message reach the server, whatever JSON makes of it', () => {
    const { socket, last } = setUp();
    socket.start();
    last().hello();
    for (const body of ['a', '"', '\\', '\u0001']) void socket.request('message.send', { body: body.repeat(16_384) }).catch(() => {});
    expect(last().sent).toHaveLength(4);
  });

  test('lost with the connection are of unknown outcome', async () => {
    const { socket, last } = setUp();
    socket.start();
    last().hello();
    const answer = socket.request('a', {});
    last().drop();
    await expect(answer).rejects.toBeInstanceOf(ApiError);
    await expect(answer).rejects.toMatchObject({ code: 'offline' });
  });

  test('without an answer drop the connection, which comes back', async () => {
    const { socket, dialled, last } = setUp();
    socket.start();
    last().hello();
    const answer = socket.request('a', {});
    const caught = expect(answer).rejects.toMatchObject({ code: 'offline' });
    vi.advanceTimersByTime(15_000);
    await caught;
    expect(dialled[0]!.closed).toBe(true);
    vi.advanceTimersByTime(1000);
    expect(dialled).toHaveLength(2);
  });
});

describe('life', () => {
  test('a heartbeat goes out at the server’s rhythm', () => {
    const { socket, last } = setUp();
    socket.start();
    last().hello();
    vi.advanceTimersByTime(30_000);
    expect(last().sent.map((f) => f.type)).toEqual(['presence.heartbeat']);
    last().receive({ type: 'reply', id: last().sent[0]!.id, data: {} });
    vi.advanceTimersByTime(30_000);
    expect(last().sent).toHaveLength(2);
  });

  test('an unanswered heartbeat after waking up drops the connection soon', () => {
    const { socket, dialled, last } = setUp();
    socket.start();
    last().hello();
    socket.wake();
    expect(last().sent).toHaveLength(1);
    vi.advanceTimersByTime(5000);
    expect(dialled[0]!.closed).toBe(true);
  });

  test('events reach their handlers; unknown ones and nonsense do no harm', () => {
    const { socket, handlers, last } = setUp();
    socket.start();
    last().hello();
    last().receive({ type: 'entry', data: { seq: 1 } });
    last().receive({ type: 'presence', data: {} });
    last().receive({ type: 'reply', id: 'nobody', data: {} });
    last().onmessage?.({ data: '{' });
    expect(handlers.entry).toHaveBeenCalledExactlyOnceWith({ seq: 1 });
  });
});
