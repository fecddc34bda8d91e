import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Log } from '../src/lib/state/log.svelte';
import { append, apply, fromPage, maxRows, prepend, type Window } from '../src/lib/state/window';
import { FakeServer, message, range, seqs } from './make';

const window = (from: number, to: number, o: Partial<Window> = {}): Window => ({
  rows: range(from, to),
  hasBefore: from > 1,
  hasAfter: false,
  to,
  ...o,
});

/** One unbroken run? */
const unbroken = (rows: { seq: number }[]): boolean => rows.every((r, i) => i === 0 || r.seq === rows[i - 1]!.seq + 1);

describe('the window', () => {
  test('takes only the very next entry', () => {
    const w = window(1, 10);
    expect(apply(w, message(11), true)[0]).toBe('applied');
    expect(seqs(apply(w, message(11), true)[1].rows).at(-1)).toBe(11);
    expect(apply(w, message(10), true)).toEqual(['known', w]);
    expect(apply(w, message(1), true)).toEqual(['known', w]);
    expect(apply(w, message(12), true)).toEqual(['hole', w]);
    expect(apply({ ...w, hasAfter: true }, message(11), true)[0]).toBe('beyond');
  });

  test('is bounded at both ends, whichever way it moves', () => {
    let w = fromPage({ messages: range(9951, 10000), has_before: true, has_after: false });
    for (let first = 9951; first > 8000; first -= 50) {
      w = prepend(w, { messages: range(first - 50, first - 1), has_before: true, has_after: true });
      expect(w.rows.length).toBeLessThanOrEqual(maxRows);
      expect(unbroken(w.rows)).toBe(true);
    }
    expect(w.hasAfter).toBe(true);
    expect(w.to).toBe(w.rows.at(-1)!.seq);
    for (; w.to < 9000; ) {
      w = append(w, { messages: range(w.to + 1, w.to + 50), has_before: true, has_after: true });
      expect(w.rows.length).toBeLessThanOrEqual(maxRows);
      expect(unbroken(w.rows)).toBe(true);
    }
    expect(w.hasBefore).toBe(true);
  });

  test('grows by live entries without growing without bound, if the reader follows', () => {
    let w = window(1, 10);
    for (let seq = 11; seq < 2000; seq++) {
      const [result, next] = apply(w, message(seq), true);
      expect(result).toBe('applied');
      w = next;
      expect(w.rows.length).toBeLessThanOrEqual(maxRows);
    }
    expect(w.hasBefore).toBe(true);
    expect(unbroken(w.rows)).toBe(true);
  });

  test('never takes rows away from somebody who reads them', () => {
    let w = window(1, maxRows);
    const [result, next] = apply(w, message(maxRows + 1), false);
    expect(result).toBe('beyond');
    expect(next.rows).toBe(w.rows);
    expect(next.hasAfter).toBe(true);
    w = append(next, { messages: range(maxRows + 1, maxRows + 1), has_before: true, has_after: false });
    expect(w.hasAfter).toBe(false);
    expect(unbroken(w.rows)).toBe(true);
  });

  test('pages that overlap or are empty do no harm', () => {
    const w = window(50, 60);
    expect(seqs(prepend(w, { messages: range(45, 55), has_before: true, has_after: true }).rows)).toEqual(seqs(range(45, 60)));
    expect(seqs(append(w, { messages: range(55, 65), has_before: true, has_after: false }).rows)).toEqual(seqs(range(50, 65)));
    expect(prepend(w, { messages: [], has_before: true, has_after: true }).hasBefore).toBe(false);
    expect(append(w, { messages: [], has_before: true, has_after: true }).hasAfter).toBe(false);
  });
});

describe('the log', () => {
  beforeEach(() => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  const opened = async (last: number): Promise<[FakeServer, Log]> => {
    const server = new FakeServer(last);
    const log = new Log(server);
    await log.open();
    return [server, log];
  };

  test('opens at the end, or around a seq', async () => {
    const [server, log] = await opened(500);
    expect(seqs(log.rows)).toEqual(seqs(range(451, 500)));
    expect(log.held).toBe(500);
    await log.open(100);
    expect(log.has(100)).toBe(true);
    expect(log.held).toBe(null); // it does not reach the end
    expect(server.asked).toHaveLength(2);
  });

  test('fetches what is missing before an entry, once, and in order', async () => {
    const [server, log] = await opened(10);
    server.last = 15;
    log.apply(message(13));
    log.apply(message(14));
    log.apply(message(15));
    await vi.waitFor(() => expect(log.held).toBe(15));
    expect(unbroken(log.rows)).toBe(true);
    expect(server.asked.slice(1)).toEqual(['entries 10']);
  });

  test('entries twice, late or in any order leave one unbroken run', async () => {
    const [server, log] = await opened(3);
    server.last = 40;
    const shuffled = range(1, 40).sort((a, b) => ((a.seq * 7919) % 41) - ((b.seq * 7919) % 41));
    for (const e of [...shuffled, ...shuffled]) log.apply(e);
    await vi.waitFor(() => expect(log.held).toBe(40));
    expect(seqs(log.rows)).toEqual(seqs(range(1, 40)));
  });

  test('goes on filling while more arrives, over several answers', async () => {
    const [server, log] = await opened(10);
    server.last = 180;
    log.apply(message(180));
    await vi.waitFor(() => expect(log.held).toBe(180));
    expect(server.asked.slice(1)).toEqual(['entries 10', 'entries 110']);
    expect(unbroken(log.rows)).toBe(true);
  });

  test('leaves a long way for the reader to jump', async () => {
    const [server, log] = await opened(10);
    server.last = 5000;
    log.reaches(5000);
    expect(log.hasAfter).toBe(true);
    expect(seqs(log.rows)).toEqual(seqs(range(1, 10)));
    expect(server.asked).toHaveLength(1);
    await log.open();
    expect(log.held).toBe(5000);
  });

  test('what came while the first page was on its way is not lost', async () => {
    const server = new FakeServer(10);
    let release = (): void => {};
    server.hold = new Promise((resolve) => (release = resolve));
    const log = new Log(server);
    const opening = log.open();
    server.last = 12;
    log.apply(message(11));
    log.apply(message(12));
    release();
    await opening;
    await vi.waitFor(() => expect(log.held).toBe(12));
    expect(unbroken(log.rows)).toBe(true);
  });

  test('what came while the window was elsewhere is there when it reaches the end', async () => {
    const [server, log] = await opened(400);
    await log.open(250);
    server.last = 402;
    log.apply(message(401));
    log.apply(message(402));
    while (log.hasAfter) await log.loadAfter();
    await vi.waitFor(() => expect(log.held).toBe(402));
    expect(unbroken(log.rows)).toBe(true);
  });

  test('an answer to an earlier question changes nothing', async () => {
    const server = new FakeServer(500);
    const log = new Log(server);
    await log.open();
    let release = (): void => {};
    server.hold = new Promise((resolve) => (release = resolve));
    const before = log.loadBefore();
    server.hold = null;
    await log.open(100);
    release();
    await before;
    expect(seqs(log.rows)).toEqual(seqs(range(75, 124)));
    expect(log.busy).toBe(null);
  });

  test('says what could not be fetched, and tries again when told', async () => {
    const server = new FakeServer(500);
    const log = new Log(server);
    server.fail = true;
    await log.open();
    expect(log.phase).toBe('empty');
    expect(log.error).not.toBe(null);
    server.fail = false;
    await log.open();
    expect(log.error).toBe(null);
    server.fail = true;
    await log.loadBefore();
    expect(log.stuck).toBe('before');
    server.fail = false;
    await log.loadBefore();
    expect(log.stuck).toBe(null);
    expect(log.rows).toHaveLength(100);
  });

  test('a hole that could not be fetched is fetched with the next entry', async () => {
    const [server, log] = await opened(10);
    server.last = 13;
    server.fail = true;
    log.apply(message(12));
    await vi.waitFor(() => expect(server.asked).toHaveLength(2));
    await Promise.resolve();
    server.fail = false;
    await new Promise((resolve) => setTimeout(resolve));
    log.apply(message(13));
    await vi.waitFor(() => expect(log.held).toBe(13));
  });

  test('a hole that could not be fetched is fetched before long, ever more slowly, also if nothing else comes', async () => {
    vi.useFakeTimers();
    try {
      const [server, log] = await opened(10);
      server.last = 12;
      server.fail = true;
      log.apply(message(12));
      const tries = async (ms: number): Promise<number> => {
        await vi.advanceTimersByTimeAsync(ms);
        return server.asked.length - 1; // without the page
      };
      expect(await tries(2_999)).toBe(1);
      expect(await tries(1)).toBe(2);
      expect(await tries(6_000)).toBe(3);
      expect(await tries(12_000 + 24_000 + 30_000 + 30_000)).toBe(7);
      server.fail = false;
      await tries(30_000);
      expect(log.held).toBe(12);
      expect(await tries(300_000)).toBe(8);

      // Not for a life that is over.
      server.last = 14;
      server.fail = true;
      log.apply(message(14));
      expect(await tries(0)).toBe(9);
      log.forget();
      expect(await tries(300_000)).toBe(9);
    } finally {
      vi.useRealTimers();
    }
  });

  test('rows stay in use if others could not be had instead', async () => {
    const [server, log] = await opened(500);
    await log.open(250);
    server.fail = true;
    await log.open();
    expect(log.phase).toBe('ready');
    expect(log.stuck).toBe('after');
    expect(log.has(250)).toBe(true);
    server.fail = false;
    log.unstick();
    expect(log.stuck).toBe(null);
    while (log.hasAfter) await log.loadAfter();
    expect(log.held).toBe(500);

    // At the end nothing is cut off: the next entry is put where it belongs.
    server.fail = true;
    await log.open(100);
    expect(log.stuck).toBe(null);
    log.apply(message(501));
    expect(log.held).toBe(501);
  });

  test('forgets everything when what it holds may never have happened', async () => {
    const [, log] = await opened(10);
    log.forget();
    expect(log.rows).toEqual([]);
    expect(log.held).toBe(null);
    await log.open();
    expect(log.held).toBe(10);
  });
});
