import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError } from '../src/lib/api/errors';
import { http } from '../src/lib/api/http';
import type { Member } from '../src/lib/api/types';
import { Mentions } from '../src/lib/state/mentions.svelte';
import { People, type Person } from '../src/lib/state/people.svelte';
import { Roster } from '../src/lib/state/roster.svelte';
import { conversation, me, message } from './make';

const person = (username: string, display_name: string): Member => ({ user_id: `id-${username}`, role: 'member', username, display_name });
const ada = person('ada', 'Ada Lovelace');
const ben = person('ben', 'Ben Okri');
const self = { ...person('me', 'Me'), user_id: me };
const known = (members: Member[]): Person[] => members.map((m) => ({ ...m, id: m.user_id }));

describe('naming people while writing', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(console, 'error').mockImplementation(() => {});
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  const group = { ...conversation({ kind: 'group', member_count: 3 }), members: [self, ada] };
  const stage = (of = group, members = [self, ada, ben]) => {
    const fetch = vi.spyOn(http, 'members').mockImplementation(async () => members);
    const people = new People(async () => []);
    people.put(known(of.members.filter((m) => m.username !== '')));
    const roster = new Roster('c', { me, people });
    return { mentions: new Mentions({ me, people }, () => of, roster), fetch, people, roster };
  };
  const offered = (m: Mentions): string[] => m.matches.map((p) => p.username);

  test('those who are known are offered at once, the others when they are there', async () => {
    const { mentions, fetch } = stage();
    mentions.look('hi', 2);
    expect(fetch).not.toHaveBeenCalled();
    mentions.look('hi @', 4);
    expect(offered(mentions)).toEqual(['ada']);
    await vi.runAllTimersAsync();
    expect(offered(mentions)).toEqual(['ada', 'ben']); // and never oneself
    mentions.look('hi @b', 5);
    expect(offered(mentions)).toEqual(['ben']);
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  test('choosing puts the username where one was typing', async () => {
    const { mentions } = stage();
    mentions.look('hi @b, there', 5);
    await vi.runAllTimersAsync();
    expect(mentions.choose(known([ben])[0]!)).toEqual({ text: '@ben ', from: 3, to: 5 });
    mentions.look('hi @b there', 5);
    expect(mentions.choose(known([ben])[0]!)).toEqual({ text: '@ben ', from: 3, to: 6 }); // and the space after it
    expect(mentions.in('hi @ben there')).toEqual(['id-ben']);
  });

  test('waved away they stay away for that word, and only for that', async () => {
    const { mentions } = stage();
    mentions.look('@', 1);
    mentions.dismiss();
    mentions.look('@a', 2);
    expect(offered(mentions)).toEqual([]);
    mentions.look('@a @', 4);
    expect(offered(mentions)).toEqual(['ada']);
    mentions.hide();
    mentions.look('@a @a', 5);
    expect(offered(mentions)).toEqual(['ada']);
  });

  test('round and round with the arrow keys', async () => {
    const { mentions } = stage();
    mentions.look('@', 1);
    await vi.runAllTimersAsync();
    mentions.move(1);
    expect(mentions.at).toBe(1);
    mentions.move(1);
    expect(mentions.at).toBe(0);
    mentions.move(-1);
    expect(mentions.at).toBe(1);
  });

  test('who comes can be named at once, and all are fetched again after an outage', async () => {
    const { mentions, fetch, people, roster } = stage();
    mentions.look('@', 1);
    await vi.runAllTimersAsync();
    const zoe = person('zoe', 'Zoe');
    roster.apply({ ...message(2), kind: 'member_added', user_id: zoe.user_id });
    mentions.look('@z', 2);
    expect(offered(mentions)).toEqual([]); // nobody without a name
    people.put(known([zoe]));
    mentions.look('@z', 2);
    expect(offered(mentions)).toEqual(['zoe']);
    expect(fetch).toHaveBeenCalledTimes(1);
    roster.doubt();
    mentions.look('@', 1);
    await vi.runAllTimersAsync();
    expect(fetch).toHaveBeenCalledTimes(2);
  });

  test('a member whom one has only just heard of is not offered without a name', () => {
    const { mentions } = stage({ ...group, members: [...group.members, { user_id: 'new', role: 'member', username: '', display_name: '' }] });
    mentions.look('@', 1);
    expect(offered(mentions)).toEqual(['ada']);
  });

  test('whom a text names is not said before it is known', async () => {
    const { mentions } = stage();
    expect(mentions.in('hi @ben')).toBe(null);
    expect(mentions.in('hi')).toEqual([]);
    mentions.look('hi @ben', 7);
    await vi.runAllTimersAsync();
    expect(mentions.in('hi @ben')).toEqual(['id-ben']);
  });

  test('an edit waits for it, and keeps whom the message named if it cannot be had', async () => {
    const { mentions, fetch, people } = stage();
    people.put(known([ben]));
    fetch.mockRejectedValueOnce(new ApiError('offline'));
    expect(await mentions.again('hi @ben', ['id-ben'])).toEqual(['id-ben']);
    expect(await mentions.again('bye', ['id-ben'])).toEqual([]);
    expect(fetch).toHaveBeenCalledTimes(1);
    expect(await mentions.again('hi @ben')).toEqual(['id-ben']);
    expect(fetch).toHaveBeenCalledTimes(2);
  });

  test('what could not be fetched is said, and tried again, but not with every key', async () => {
    const { mentions, fetch } = stage();
    fetch.mockRejectedValueOnce(new Error('gone'));
    mentions.look('@', 1);
    await vi.runAllTimersAsync();
    expect(mentions.error).not.toBe(null);
    mentions.look('@b', 2);
    expect(fetch).toHaveBeenCalledTimes(1);
    vi.setSystemTime(0); // a clock that is set back changes nothing
    vi.advanceTimersByTime(4_000);
    mentions.look('@b', 2);
    await vi.runAllTimersAsync();
    expect(mentions.error).toBe(null);
    expect(offered(mentions)).toEqual(['ben']);
  });

  test('there is nobody to name where only two talk', () => {
    const { mentions, fetch } = stage({ ...group, kind: 'direct' });
    mentions.look('@', 1);
    expect(offered(mentions)).toEqual([]);
    expect(mentions.in('@ada')).toEqual([]);
    expect(fetch).not.toHaveBeenCalled();
  });
});
