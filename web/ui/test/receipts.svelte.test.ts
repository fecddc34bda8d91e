import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError } from '../src/lib/api/errors';
import type { PresenceState, Reached } from '../src/lib/api/types';
import { Conversations } from '../src/lib/state/conversations.svelte';
import { Marks } from '../src/lib/state/marks.svelte';
import { Presence } from '../src/lib/state/presence.svelte';
import { SeenBy } from '../src/lib/state/seen-by.svelte';
import { Typing } from '../src/lib/state/typing.svelte';
import { agoOf, timeOf, whenOf } from '../src/lib/time';
import { conversation, me, message, you } from './make';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('how far a message has got', () => {
  test('marks only rise, in whatever order they come', () => {
    const marks = new Marks();
    const states = () => [1, 2, 3].map((seq) => marks.progress(seq, true));
    expect(states()).toEqual(['sent', 'sent', 'sent']);
    marks.raise({ delivered_seq: 2, read_seq: 1 });
    expect(states()).toEqual(['read', 'delivered', 'sent']);
    marks.raise({ delivered_seq: 1, read_seq: 0 });
    expect(states()).toEqual(['read', 'delivered', 'sent']);
    marks.raise({ delivered_seq: 3, read_seq: 3 });
    expect(states()).toEqual(['read', 'read', 'read']);
  });

  test('who does not tell what they read is not told it either', () => {
    const marks = new Marks();
    marks.raise({ delivered_seq: 2, read_seq: 2 });
    expect(marks.progress(2, false)).toBe('delivered');
  });

  test('the list knows it of the other one, of everybody in a group, and from the server’s answers', () => {
    const list = new Conversations(me);
    list.put(conversation({ last_seq: 5, others_delivered_seq: 2, others_read_seq: 1 }));
    const state = (seq: number) => list.marks('c')!.progress(seq, true);
    expect([state(1), state(2), state(3)]).toEqual(['read', 'delivered', 'sent']);
    const receipt = { conversation_id: 'c', delivered_seq: 4, read_seq: 0 };
    expect(list.receipt({ ...receipt, user_id: me })).toBe(true);
    expect(state(3)).toBe('sent');
    list.receipt({ ...receipt, user_id: you });
    expect(state(3)).toBe('delivered');
    list.receipt({ ...receipt, delivered_seq: 5 }); // nobody named: everybody
    expect(state(5)).toBe('delivered');
    // An answer that was on its way for long.
    list.put(conversation({ last_seq: 5, others_delivered_seq: 2 }));
    expect([state(1), state(5)]).toEqual(['read', 'delivered']);
    expect(list.get('c')!.unread).toBe(0);
  });

  test('who is alone in a group has reached nobody, until somebody comes', () => {
    const list = new Conversations(me);
    const group = conversation({ kind: 'group', member_count: 1, last_seq: 5, others_delivered_seq: 5 });
    const state = (seq: number) => list.marks('c')?.progress(seq, true);
    list.put(group);
    list.receipt({ conversation_id: 'c', delivered_seq: 5, read_seq: 0 });
    expect(state(5)).toBe(undefined);
    list.apply({ ...message(6), kind: 'member_added', user_id: you });
    list.receipt({ conversation_id: 'c', delivered_seq: 6, read_seq: 0 });
    expect(state(6)).toBe('delivered');
    // Who is alone again has still reached whom they had reached.
    list.put({ ...group, last_seq: 8, others_delivered_seq: 8 });
    expect([state(6), state(8)]).toEqual(['delivered', 'sent']);
  });

  test('a mark that rises changes neither the list nor the conversation, and of the rows those it passes', () => {
    const list = new Conversations(me);
    list.put(conversation({ last_seq: 9 }));
    let lists = 0;
    const changed: number[] = [];
    const stop = $effect.root(() => {
      $effect(() => {
        void list.sorted;
        lists++;
      });
      for (const seq of [1, 2, 3]) {
        const state = $derived(list.marks('c')!.progress(seq, true));
        $effect(() => {
          void state;
          changed.push(seq);
        });
      }
    });
    flushSync();
    changed.length = 0;
    list.receipt({ conversation_id: 'c', user_id: you, delivered_seq: 2, read_seq: 1 });
    flushSync();
    expect(changed).toEqual([1, 2]);
    expect(lists).toBe(1);
    stop();
  });
});

describe('presence', () => {
  const at = '2026-01-01T00:00:00Z';
  const state = (user_id: string, online = true): PresenceState => ({ user_id, online, last_seen: online ? null : at });

  function setUp() {
    const asked: [type: string, data: unknown][] = [];
    const net = { connected: true, answer: (_ids: string[]): Promise<PresenceState[]> => Promise.resolve([]) };
    const presence = new Presence({
      connected: () => net.connected,
      request: async (type, data) => {
        asked.push([type, data]);
        return { users: await net.answer((data as { user_ids: string[] }).user_ids) };
      },
    });
    return { presence, net, take: () => asked.splice(0) };
  }

  test('whoever is shown is watched, in one question, and no more when nobody shows them', async () => {
    const { presence, net, take } = setUp();
    net.answer = async (ids) => ids.map((id) => state(id));
    const [a, again, b] = [presence.watch('a'), presence.watch('a'), presence.watch('b')];
    const leave = presence.show('c');
    await vi.advanceTimersByTimeAsync(50);
    expect(take()).toEqual([['presence.watch', { user_ids: ['a', 'b'], conversation_id: 'c' }]]);
    expect(presence.get('a')).toEqual(state('a'));
    presence.event(state('a', false));
    expect(presence.get('a')).toEqual(state('a', false));
    presence.event(state('stranger'));
    expect(presence.get('stranger')).toBe(undefined);

    a();
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([]);
    again();
    b();
    leave();
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([['presence.unwatch', { user_ids: ['a', 'b'], conversation_id: 'c' }]]);
    expect(presence.get('a')).toBe(undefined);
  });

  test('is asked for in half a second after the clock was set back', async () => {
    const { presence, take } = setUp();
    presence.watch('a');
    await vi.advanceTimersByTimeAsync(50);
    take();
    vi.setSystemTime(Date.now() - 86_400_000);
    presence.watch('b');
    await vi.advanceTimersByTimeAsync(500);
    expect(take()).toEqual([['presence.watch', { user_ids: ['b'] }]]);
  });

  test('who runs through the list stirs up two questions, not twenty', async () => {
    const { presence, take } = setUp();
    let stop = [presence.watch('u0'), presence.show('c0')];
    for (let i = 1; i <= 20; i++) {
      await vi.advanceTimersByTimeAsync(20);
      const next = [presence.watch(`u${i}`), presence.show(`c${i}`)];
      for (const s of stop) s();
      stop = next;
    }
    await vi.advanceTimersByTimeAsync(1000);
    const asked = take();
    expect(asked.length).toBeLessThanOrEqual(3);
    expect(asked.at(-1)).toEqual(['presence.watch', { user_ids: ['u20'], conversation_id: 'c20' }]);
  });

  test('from one conversation to the next: the old one is not said to be left', async () => {
    const { presence, take } = setUp();
    const first = presence.show('c1');
    await vi.advanceTimersByTimeAsync(50);
    presence.show('c2');
    first();
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([
      ['presence.watch', { user_ids: [], conversation_id: 'c1' }],
      ['presence.watch', { user_ids: [], conversation_id: 'c2' }],
    ]);
  });

  test('that no conversation is shown is said as well, once: else typing would be told of all of them', async () => {
    const { presence, take } = setUp();
    const none = ['presence.unwatch', { user_ids: [], conversation_id: '00000000-0000-0000-0000-000000000000' }];
    presence.connected();
    await vi.advanceTimersByTimeAsync(1900); // a page that is being opened may show one yet
    expect(take()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([none]);
    const leave = presence.show('c');
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([['presence.watch', { user_ids: [], conversation_id: 'c' }]]);
    leave();
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([['presence.unwatch', { user_ids: [], conversation_id: 'c' }]]);
    presence.connected();
    await vi.advanceTimersByTimeAsync(3000);
    expect(take()).toEqual([none]);
    presence.watch('a');
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([['presence.watch', { user_ids: ['a'] }]]);
  });

  test('a page that shows a conversation soon does not say that it shows none', async () => {
    const { presence, take } = setUp();
    presence.connected();
    await vi.advanceTimersByTimeAsync(1000);
    presence.show('c');
    await vi.advanceTimersByTimeAsync(50);
    expect(take()).toEqual([['presence.watch', { user_ids: [], conversation_id: 'c' }]]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(take()).toEqual([]);
  });

  test('a new connection is told everything, once', async () => {
    const { presence, net, take } = setUp();
    net.connected = false;
    presence.watch('a');
    presence.show('c');
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([]);
    net.connected = true;
    for (let i = 0; i < 2; i++) {
      presence.connected();
      await vi.advanceTimersByTimeAsync(1000);
      expect(take()).toEqual([['presence.watch', { user_ids: ['a'], conversation_id: 'c' }]]);
    }
  });

  test('what comes last is right, be it an answer or not', async () => {
    const { presence, net } = setUp();
    let answer = (_: PresenceState[]): void => {};
    net.answer = () => new Promise((resolve) => (answer = resolve));
    presence.watch('a');
    await vi.advanceTimersByTimeAsync(50);
    presence.event(state('a'));
    answer([state('a', false), state('stranger')]);
    await vi.advanceTimersByTimeAsync(0);
    expect(presence.get('a')).toEqual(state('a', false));
    expect(presence.get('stranger')).toBe(undefined);
    presence.event(state('a'));
    expect(presence.get('a')).toEqual(state('a'));
  });

  test('what is refused for now is asked again by itself, and only that', async () => {
    const { presence, net, take } = setUp();
    const failures = [new ApiError('rate_limited', '', [], 2), new ApiError('unavailable')];
    presence.watch('a');
    presence.show('c');
    await vi.advanceTimersByTimeAsync(1000);
    take();
    presence.watch('b');
    presence.show('d');
    net.answer = async () => {
      if (failures[0]) throw failures.shift();
      return [];
    };
    const both = ['presence.watch', { user_ids: ['b'], conversation_id: 'd' }];
    await vi.advanceTimersByTimeAsync(50);
    expect(take()).toEqual([both]);
    await vi.advanceTimersByTimeAsync(1900);
    expect(take()).toEqual([]);
    await vi.advanceTimersByTimeAsync(100);
    expect(take()).toEqual([both]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(take()).toEqual([both]);
  });

  test('who was refused for good is asked for again with the next change', async () => {
    const { presence, net, take } = setUp();
    presence.show('c');
    const stop = presence.watch('a');
    await vi.advanceTimersByTimeAsync(1000);
    take();
    net.answer = () => Promise.reject(new ApiError('too_large'));
    presence.watch('b');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(take()).toEqual([['presence.watch', { user_ids: ['b'] }]]);
    net.answer = async (ids) => ids.map((id) => state(id));
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(take()).toEqual([
      ['presence.unwatch', { user_ids: ['a'] }],
      ['presence.watch', { user_ids: ['b'] }],
    ]);
    expect(presence.get('b')).toEqual(state('b'));
  });

  test('of a person about whom nothing was said is asked for again, on a hint, while they are watched', async () => {
    const { presence, net, take } = setUp();
    const watchA = ['presence.watch', { user_ids: ['a'] }];
    const stop = presence.watch('a');
    presence.watch('b');
    net.answer = async (ids) => (ids.includes('b') ? [state('b')] : []); // a is refused
    await vi.advanceTimersByTimeAsync(1000);
    take();
    for (const id of ['a', 'b', 'stranger']) presence.again(id);
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([watchA]);
    net.answer = async () => [state('a')];
    presence.again('a');
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([watchA]);
    expect(presence.get('a')).toEqual(state('a'));

    presence.event({ user_id: 'a', online: false, last_seen: null }); // a block ended the watch
    presence.again('a');
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([watchA]);
    expect(presence.get('a')).toEqual(state('a'));

    // A watch that may be there is ended as ever.
    presence.event({ user_id: 'a', online: false, last_seen: null });
    presence.again('a');
    stop();
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([['presence.unwatch', { user_ids: ['a'] }]]);
    presence.again('a');
    await vi.advanceTimersByTimeAsync(1000);
    expect(take()).toEqual([]);
  });

  test('a conversation that is not for us does not take the people with it', async () => {
    const { presence, net, take } = setUp();
    net.answer = async (ids) => {
      if (take().some(([, data]) => 'conversation_id' in (data as object))) throw new ApiError('not_found');
      return ids.map((id) => state(id));
    };
    presence.watch('a');
    presence.show('c');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(presence.get('a')).toEqual(state('a'));
  });
});

describe('typing', () => {
  const setUp = () => {
    const said: string[] = [];
    return { typing: new Typing({ say: (id) => said.push(id) }), said };
  };

  test('is said at once, then every now and then while it goes on, for each conversation', () => {
    const { typing, said } = setUp();
    for (let i = 0; i < 50; i++) {
      typing.typed('c');
      vi.advanceTimersByTime(100);
    }
    expect(said).toEqual(['c', 'c']);
    typing.typed('d');
    expect(said).toEqual(['c', 'c', 'd']);
  });

  test('is said again after the clock was set back', () => {
    const { typing, said } = setUp();
    typing.typed('c');
    vi.setSystemTime(Date.now() - 86_400_000);
    vi.advanceTimersByTime(3_000);
    typing.typed('c');
    expect(said).toEqual(['c', 'c']);
  });

  test('is shown for five seconds after it was heard last', () => {
    const { typing } = setUp();
    typing.heard({ conversation_id: 'c', user_id: 'a' });
    vi.advanceTimersByTime(3000);
    typing.heard({ conversation_id: 'c', user_id: 'b' });
    typing.heard({ conversation_id: 'c', user_id: 'a' });
    expect(typing.in('c')).toEqual(['a', 'b']);
    expect(typing.in('d')).toEqual([]);
    vi.advanceTimersByTime(4999);
    expect(typing.in('c')).toEqual(['a', 'b']);
    vi.advanceTimersByTime(1);
    expect(typing.in('c')).toEqual([]);
  });

  test('ends with the message, of the one who wrote it', () => {
    const { typing } = setUp();
    typing.heard({ conversation_id: 'c', user_id: 'a' });
    typing.heard({ conversation_id: 'c', user_id: 'b' });
    typing.stopped('c', 'a');
    typing.stopped('c', 'somebody');
    expect(typing.in('c')).toEqual(['b']);
    typing.heard({ conversation_id: 'c', user_id: 'a' });
    vi.advanceTimersByTime(4000);
    expect(typing.in('c')).toEqual(['b', 'a']);
  });
});

describe('who has seen a message', () => {
  const reached = (user_id: string, o: Partial<Reached> = {}): Reached => ({ user_id, delivered: false, read: false, ...o });
  const ids = (all: Reached[] | undefined): string[] | undefined => all?.map((r) => r.user_id);

  test('is told apart by how far it got, the latest first, without oneself', async () => {
    const seenBy = new SeenBy(me, async () => [
      reached(me, { delivered: true, read: true }),
      reached('a', { delivered: true, read: true }),
      reached('b', { delivered: true, read: true, read_at: message(1).created_at }),
      reached('c', { delivered: true, read: true, read_at: message(2).created_at }),
      reached('d', { delivered: true }),
      reached('e'),
    ]);
    await seenBy.load();
    expect(ids(seenBy.seen?.read)).toEqual(['c', 'b', 'a']);
    expect(ids(seenBy.seen?.delivered)).toEqual(['d']);
    expect(ids(seenBy.seen?.waiting)).toEqual(['e']);
  });

  test('is asked one question at a time, and once more if something happened meanwhile', async () => {
    let asked = 0;
    let answer = (): void => {};
    const seenBy = new SeenBy(me, () => new Promise((resolve) => ((asked++), (answer = () => resolve([reached(String(asked))])))));
    const first = seenBy.load();
    void seenBy.load();
    void seenBy.load();
    expect(asked).toBe(1);
    answer();
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toBe(2);
    answer();
    await first;
    expect(ids(seenBy.seen?.waiting)).toEqual(['2']);
  });

  test('is asked for every four seconds, while that is worth it', async () => {
    vi.stubGlobal('document', { visibilityState: 'visible' });
    let [asked, worth] = [0, false];
    const stop = new SeenBy(me, async () => (asked++, [])).follow(() => worth);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(1);
    worth = true;
    await vi.advanceTimersByTimeAsync(8_000);
    expect(asked).toBe(3);
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(3);
    vi.unstubAllGlobals();
  });

  test('says why it is not known, keeps what is, and recovers', async () => {
    let fail = false;
    const seenBy = new SeenBy(me, async () => {
      if (fail) throw new ApiError('offline');
      return [reached('a')];
    });
    await seenBy.load();
    fail = true;
    await seenBy.load();
    expect(seenBy.error?.code).toBe('offline');
    expect(ids(seenBy.seen?.waiting)).toEqual(['a']);
    fail = false;
    await seenBy.load();
    expect(seenBy.error).toBe(null);
  });
});

describe('moments in sentences', () => {
  const now = new Date(2026, 2, 10, 15, 0);
  const today = { now: now.getTime(), key: '2026-03-10' };
  const before = (minutes: number): string => new Date(now.getTime() - minutes * 60_000).toISOString();

  test.each([
    [-3, 'just now'],
    [0.9, 'just now'],
    [1, '1 min ago'],
    [59.9, '59 min ago'],
  ])('%d minutes ago: %s', (minutes, words) => {
    expect(agoOf(before(minutes), today)).toBe(words);
  });

  test('the older, the less exactly', () => {
    const time = timeOf(before(60));
    expect(agoOf(before(60), today)).toBe(`today at ${time}`);
    expect(whenOf(before(60 + 24 * 60), today.key)).toBe(`yesterday at ${time}`);
    expect(whenOf(before(60 + 3 * 24 * 60), today.key)).toBe(`Saturday at ${time}`);
    expect(whenOf(before(60 + 20 * 24 * 60), today.key)).toMatch(/(18 Feb|Feb 18) at /);
    expect(whenOf(before(60 + 400 * 24 * 60), today.key)).toContain('2025');
  });
});
