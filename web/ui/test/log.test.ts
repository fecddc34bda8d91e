import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError } from '../src/lib/api/errors';
import { Log } from '../src/lib/state/log.svelte';
import type { Entry, Page } from '../src/lib/api/types';
import { append, apply, fromPage, lastSeq, maxRows, prepend, renew, type Window } from '../src/lib/state/window';
import { action, FakeServer, me, message, range, seqs, you } from './make';

const window = (from: number, to: number, o: Partial<Window> = {}): Window => ({
  rows: range(from, to),
  hasBefore: from > 1,
  hasAfter: false,
  to,
  ...o,
});

const page = (from: number, to: number, last_seq: number): Page => ({
  messages: range(from, to),
  has_before: from > 1,
  has_after: to < last_seq,
  last_seq,
});
/** A page that says there is more and gives none. */
const nobody: Page = { messages: [], has_before: true, has_after: true, last_seq: 100 };

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
    let w = fromPage(page(9951, 10000, 10000));
    for (let first = 9951; first > 8000; first -= 50) {
      w = prepend(w, page(first - 50, first - 1, 10000));
      expect(w.rows.length).toBeLessThanOrEqual(maxRows);
      expect(unbroken(w.rows)).toBe(true);
    }
    expect(w.hasAfter).toBe(true);
    expect(w.to).toBe(10000); // so much is known of what is held
    for (let last = lastSeq(w.rows); last < 9000; last = lastSeq(w.rows)) {
      w = append(w, page(last + 1, last + 50, 10000));
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
    w = append(next, page(maxRows + 1, maxRows + 1, maxRows + 1));
    expect(w.hasAfter).toBe(false);
    expect(unbroken(w.rows)).toBe(true);
  });

  test('pages that overlap or are empty do no harm', () => {
    const w = window(50, 60);
    expect(seqs(prepend(w, page(45, 55, 60)).rows)).toEqual(seqs(range(45, 60)));
    expect(seqs(append(w, page(55, 65, 65)).rows)).toEqual(seqs(range(50, 65)));
    expect(prepend(w, nobody).hasBefore).toBe(false);
    expect(append(w, nobody).hasAfter).toBe(false);
  });
});

describe('what is no row', () => {
  const edit = (seq: number, target: number, body = 'new'): Entry => action(seq, 'edit', target, { body });

  test('changes the row it is about and counts as held', () => {
    const w = window(1, 10);
    const [result, next] = apply(w, edit(11, 4), true);
    expect(result).toBe('applied');
    expect(next.to).toBe(11);
    expect(seqs(next.rows)).toEqual(seqs(w.rows));
    expect(next.rows[3]!.body).toBe('new');
    expect(apply(next, message(12), true)[1].rows.at(-1)!.seq).toBe(12);
  });

  test('also when the rows do not reach the end, and before what is missing is there', () => {
    const w = window(1, 10, { hasAfter: true, to: 50 });
    const [, far] = apply(w, edit(51, 4), true);
    expect(far.rows[3]!.body).toBe('new');
    expect(far.to).toBe(51);
    expect(apply(far, message(52), true)).toEqual(['beyond', { ...far, to: 52 }]);
    const [result, hole] = apply(window(1, 10), edit(20, 4), true);
    expect(result).toBe('hole');
    expect(hole.rows[3]!.body).toBe('new');
    expect(hole.to).toBe(10); // it comes again
  });

  test('an entry that the server says is next is next, however far', () => {
    const w = window(1, 10);
    expect(apply(w, message(40), true)[0]).toBe('hole');
    const [result, next] = apply(w, message(40), true, true);
    expect(result).toBe('applied');
    expect([next.to, next.rows.at(-1)!.seq]).toEqual([40, 40]);
  });

  test('pages of different times are folded up to the earlier one', () => {
    const w = window(51, 100, { to: 100 });
    expect(prepend(w, page(1, 50, 120)).to).toBe(100);
    expect(prepend(w, page(1, 50, 90)).to).toBe(90);
    // Its rows are known, what happened to the others is not: it comes again, and adds no row twice.
    const joined = append(window(1, 50, { hasAfter: true, to: 60 }), page(51, 100, 100));
    expect([joined.to, joined.hasAfter]).toEqual([60, false]);
    const [result, next] = apply(joined, message(61), true);
    expect([result, next.to, next.rows.length]).toEqual(['known', 61, 100]);
  });

  test('rows can be taken anew', () => {
    const w = window(1, 3);
    const now = renew(w, { ...page(2, 3, 9), messages: [message(2, { body: 'now' }), message(7)] });
    expect(now.rows.map((m) => m.body)).toEqual(['text 1', 'now', 'text 3']);
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
    expect(log.has(400)).toBe(false);
    expect(log.held).toBe(500); // what happens to its rows is known all the same
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
    // Only what happened to the rows is asked for.
    await vi.waitFor(() => expect(log.held).toBe(5000));
    expect(server.asked.slice(1)).toEqual(['page {"after":0}']);
    expect(seqs(log.rows)).toEqual(seqs(range(1, 10)));
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
    await vi.waitFor(() => expect(seqs(log.rows).at(-1)).toBe(402));
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

  test('whoever looks at what could not be opened has it tried again, unless it was refused', async () => {
    vi.useFakeTimers();
    try {
      let refusal = new ApiError('unavailable');
      const log = new Log({ page: () => Promise.reject(refusal), entries: () => Promise.reject(refusal) });
      for (const wait of [3_000, 6_000]) {
        await log.open();
        await vi.advanceTimersByTimeAsync(wait - 1);
        expect(log.error).toBe(refusal);
        await vi.advanceTimersByTimeAsync(1);
        expect([log.phase, log.error]).toEqual(['empty', null]); // the conversation opens such a one
      }
      refusal = new ApiError('forbidden');
      await log.open();
      await vi.advanceTimersByTimeAsync(60_000);
      expect(log.error).toBe(refusal);
    } finally {
      vi.useRealTimers();
    }
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
    log.retry();
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

  test('fetches what happened to rows far from the end', async () => {
    const [server, log] = await opened(500);
    await log.open(100);
    server.last = 503;
    server.actions.set(502, action(502, 'edit', 100, { body: 'new' }));
    log.apply(message(503));
    await vi.waitFor(() => expect(log.held).toBe(503));
    expect(log.rows.find((m) => m.seq === 100)!.body).toBe('new');
    expect(log.rows.at(-1)!.seq).toBeLessThan(200);
  });

  test('after much has happened, takes its rows anew rather than every step', async () => {
    const [server, log] = await opened(500);
    await log.open(100);
    server.last = 5000;
    server.actions.set(600, action(600, 'delete', 100));
    log.reaches(5000);
    await vi.waitFor(() => expect(log.held).toBe(5000));
    expect(log.rows.find((m) => m.seq === 100)!.deleted).toBe(true);
    expect(seqs(log.rows)).toEqual(seqs(range(75, 124)));
    expect(server.asked.slice(2)).toEqual(['page {"after":74}']);
  });

  test('stays where it was if another place cannot be had', async () => {
    const [server, log] = await opened(500);
    server.fail = true;
    expect(await log.open(100)).toBe(false);
    expect([log.phase, log.error !== null, log.held]).toEqual(['ready', true, 500]);
    log.apply(message(501));
    expect(log.held).toBe(501);
  });

  describe('answers', () => {
    test('that come without a quote get it from the row', async () => {
      const [, log] = await opened(10);
      log.apply(message(11, { reply_to: 4 }));
      expect(log.rows.at(-1)!.quote).toEqual({ seq: 4, sender_id: you, body: 'text 4', deleted: false });
    });

    test('or from the server, once', async () => {
      const [server, log] = await opened(500);
      log.apply(message(501, { reply_to: 4 }));
      log.apply(message(502, { reply_to: 4 }));
      expect(log.rows.at(-1)!.quote).toBe(undefined);
      await vi.waitFor(() => expect(log.rows.at(-1)!.quote?.body).toBe('text 4'));
      expect(log.rows.at(-2)!.quote?.body).toBe('text 4');
      expect(server.asked.slice(1)).toEqual(['page {"around":4}']);
    });

    test('also after a jump while it was on its way', async () => {
      const [server, log] = await opened(500);
      let release = (): void => {};
      server.hold = new Promise((resolve) => (release = resolve));
      log.apply(message(501, { reply_to: 4 }));
      server.hold = null;
      server.last = 501;
      const jumped = log.open(490);
      release();
      await jumped;
      log.apply(message(502, { reply_to: 4 }));
      await vi.waitFor(() => expect(log.rows.at(-1)!.quote?.body).toBe('text 4'));
    });

    test('or from what one was answering, as it is by now', async () => {
      const [server, log] = await opened(500);
      log.cite({ seq: 4, sender_id: you, body: 'text 4', deleted: false });
      log.apply(action(501, 'edit', 4, { body: 'new' }));
      expect(log.quote(4)?.body).toBe('new');
      log.apply(message(502, { reply_to: 4 }));
      expect(log.rows.at(-1)!.quote?.body).toBe('new');
      expect(server.asked).toHaveLength(1);
    });
  });

  describe('one’s own reaction', () => {
    const mine = (kind: Entry['kind'], seq = 0): Entry => action(seq, kind, 4, { emoji: '👍', sender_id: me });
    const shown = (log: Log): string[] => log.rows.find((m) => m.seq === 4)!.reactions?.flatMap((r) => r.user_ids) ?? [];

    test('is shown before the log has it, and stays', async () => {
      const [, log] = await opened(10);
      log.wish(mine('reaction_added'));
      expect(shown(log)).toEqual([me]);
      log.grant(4, '👍', 11);
      expect(shown(log)).toEqual([me]); // the log is not that far yet
      log.apply(mine('reaction_added', 11));
      expect(shown(log)).toEqual([me]);
    });

    test('does not flicker when one changes one’s mind while it is on its way', async () => {
      const [, log] = await opened(10);
      log.wish(mine('reaction_added'));
      log.wish(mine('reaction_removed'));
      log.apply(mine('reaction_added', 11));
      expect(shown(log)).toEqual([]);
      log.apply(mine('reaction_removed', 12));
      log.grant(4, '👍', 12);
      expect(shown(log)).toEqual([]);
    });

    test('is taken back by another device before the answer is here, or after it', async () => {
      const [, log] = await opened(10);
      log.wish(mine('reaction_added'));
      log.apply(mine('reaction_added', 11));
      log.apply(mine('reaction_removed', 12));
      log.grant(4, '👍', 11);
      expect(shown(log)).toEqual([]);
      log.wish(mine('reaction_added'));
      log.grant(4, '👍', 13);
      log.apply(mine('reaction_added', 13));
      log.apply(mine('reaction_removed', 14));
      expect(shown(log)).toEqual([]);
    });

    test('leaves what the log says where it was refused', async () => {
      const [, log] = await opened(10);
      log.apply(mine('reaction_added', 11));
      log.wish(mine('reaction_removed'));
      expect(shown(log)).toEqual([]);
      log.grant(4, '👍');
      expect(shown(log)).toEqual([me]);
    });
  });
});
