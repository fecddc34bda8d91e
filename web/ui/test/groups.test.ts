import { flushSync } from 'svelte';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { http } from '../src/lib/api/http';
import type { Conversation, Entry, Member, MemberRole } from '../src/lib/api/types';
import { eventOf } from '../src/lib/event';
import { groupTitleProblem, mayManage, mayOwn, mayRemove } from '../src/lib/rights';
import { Conversations, faceOf } from '../src/lib/state/conversations.svelte';
import { People } from '../src/lib/state/people.svelte';
import { Receipts } from '../src/lib/state/receipts';
import { Roster } from '../src/lib/state/roster.svelte';
import { conversation, me, message, you } from './make';

const named = (user_id: string, role: MemberRole = 'member'): Member => ({ user_id, role, username: user_id, display_name: user_id.toUpperCase() });
const group = (o: Partial<Conversation> = {}): Conversation =>
  conversation({ kind: 'group', title: 'Book club', members: [named(you, 'owner'), named(me), named('ann')], member_count: 3, last_seq: 5, ...o });
/** A later entry of the group. */
const entry = (seq: number, kind: Entry['kind'], o: Partial<Entry> = {}): Entry => {
  const { body: _body, client_id: _id, ...bare } = message(seq);
  return { ...bare, kind, ...o };
};
const listed = (o: Partial<Conversation> = {}): Conversations => {
  const list = new Conversations(me);
  list.put(group(o));
  return list;
};

describe('the list and what happens in a group', () => {
  test('a new title, and who did it has not read everything by that', () => {
    const list = listed({ unread: 2 });
    expect(list.apply(entry(6, 'title_changed', { title: 'Film club', sender_id: me }))).toBe(true);
    expect(list.get('c')).toMatchObject({ title: 'Film club', last_seq: 6, unread: 2, read_seq: 0, last_entry_at: message(6).created_at });
  });

  test('somebody is called something else', () => {
    const list = listed();
    const before = list.get('c');
    list.renamed({ id: 'nobody', username: 'nobody', display_name: 'Nobody', role: 'member' });
    expect(list.get('c')).toBe(before);
    list.renamed({ id: 'ann', username: 'ann', display_name: 'Annabel', role: 'member' });
    expect(list.get('c')!.members.slice(0, 2)).toEqual(before!.members.slice(0, 2));
    expect(list.get('c')!.members[2]).toMatchObject({ role: 'member', display_name: 'Annabel' });
  });

  test('roles: somebody’s, and one’s own', () => {
    const list = listed();
    list.apply(entry(6, 'role_changed', { user_id: 'ann', role: 'admin' }));
    expect(list.get('c')).toMatchObject({ role: 'member' });
    expect(list.get('c')!.members[2]).toMatchObject({ user_id: 'ann', role: 'admin' });
    list.apply(entry(7, 'role_changed', { user_id: me, role: 'owner' }));
    expect(list.get('c')!.role).toBe('owner');
  });

  test('people come and go; only a few are named', () => {
    const list = listed();
    for (const [i, user_id] of ['ben', 'cara', 'dan'].entries()) list.apply(entry(6 + i, 'member_added', { user_id }));
    expect(list.get('c')).toMatchObject({ member_count: 6 });
    expect(list.get('c')!.members.map((m) => m.user_id)).toEqual([you, me, 'ann', 'ben', 'cara']);
    list.apply(entry(9, 'member_left', { user_id: 'ann', sender_id: 'ann' }));
    list.apply(entry(10, 'member_removed', { user_id: 'dan' }));
    expect(list.get('c')).toMatchObject({ member_count: 4, unread: 0 });
    expect(list.get('c')!.members.map((m) => m.user_id)).toEqual([you, me, 'ben', 'cara']);
    expect(list.left('c')).toBe(undefined);
  });

  test('the last message is shown as it was edited, and as deleted', () => {
    const list = listed({ last_message: message(5, { mentions: ['ann'] }), last_entry_at: message(5).created_at });
    expect(list.apply(entry(6, 'edit', { target_seq: 4, body: 'an older one' }))).toBe(true);
    expect(list.get('c')!.last_message!.body).toBe('text 5');
    list.apply(entry(7, 'edit', { target_seq: 5, body: 'better' }));
    expect(list.get('c')!.last_message).toMatchObject({ body: 'better', edited_at: message(7).created_at });
    expect(list.get('c')!.last_message!.mentions).toBe(undefined);
    list.apply(entry(8, 'delete', { target_seq: 5 }));
    list.apply(entry(9, 'edit', { target_seq: 5, body: 'too late' }));
    expect(list.get('c')!.last_message).toMatchObject({ deleted: true, seq: 5 });
    expect(list.get('c')!.last_message!.body).toBe(undefined);
  });

  test('what happens to a message moves nothing up and is nothing unread', () => {
    const list = listed({ last_entry_at: '2026-01-01T00:00:00Z', last_message: message(5), unread: 1 });
    list.put(conversation({ id: 'd', last_entry_at: '2026-01-01T00:00:01Z' }));
    list.apply(entry(6, 'reaction_added', { target_seq: 5, emoji: '👍' }));
    list.apply(entry(7, 'reaction_removed', { target_seq: 5, emoji: '👍' }));
    list.apply(entry(8, 'edit', { target_seq: 5, body: 'x' }));
    list.apply(entry(9, 'reaction_added', { target_seq: 5, emoji: '🎈' }));
    flushSync();
    expect(list.sorted.map((c) => c.id)).toEqual(['d', 'c']);
    expect(list.get('c')).toMatchObject({ last_seq: 9, unread: 1, read_seq: 0 });
  });

  test('equally recent ones keep an order; fractions of a second count', () => {
    const list = new Conversations(me);
    for (const [id, at] of [['a', '00Z'], ['b', '00.5Z'], ['z', '00Z']]) list.put(conversation({ id, last_entry_at: `2026-01-01T00:00:${at}` }));
    expect(list.sorted.map((c) => c.id)).toEqual(['b', 'z', 'a']);
  });

  test('mentions are counted, and taken off with what is read', () => {
    const list = listed();
    list.apply(message(6, { mentions: ['ann', me] }));
    list.apply(message(7, { mentions: ['ann'] }));
    list.apply(message(8, { mentions: [me] }));
    expect(list.get('c')).toMatchObject({ unread: 3, unread_mentions: 2 });
    list.read('c', 7, 2, 1);
    expect(list.get('c')).toMatchObject({ unread: 1, unread_mentions: 1 });
    list.read('c', 8, 1, 1);
    expect(list.get('c')).toMatchObject({ unread: 0, unread_mentions: 0 });
    list.apply(message(9, { mentions: [me] }));
    list.apply(message(10, { sender_id: me }));
    expect(list.get('c')).toMatchObject({ unread: 0, unread_mentions: 0 });
  });

  test('an edit or a deletion that may change how many are unread, or whom they mention, asks the server', () => {
    const list = listed({ unread: 2, read_seq: 3, last_message: message(5) });
    expect(list.apply(entry(6, 'reaction_added', { target_seq: 4, emoji: '🎈' }))).toBe(true);
    expect(list.apply(entry(7, 'edit', { target_seq: 5, body: 'x', mentions: [me] }))).toBe(false);
    list.put(group({ last_seq: 7, unread: 2, read_seq: 3, unread_mentions: 1 }));
    expect(list.apply(entry(8, 'delete', { target_seq: 5 }))).toBe(false);
    expect(list.apply(entry(9, 'edit', { target_seq: 2, body: 'x', mentions: [me] }))).toBe(true); // read long ago
  });

  test('a deleted message is not unread', () => {
    const list = listed({ unread: 2, read_seq: 3, last_message: message(5) });
    expect(list.apply(entry(6, 'delete', { target_seq: 5 }))).toBe(true);
    expect(list.get('c')).toMatchObject({ unread: 1, last_message: { deleted: true } });
    expect(list.apply(entry(7, 'delete', { target_seq: 2 }))).toBe(true); // read long ago
    expect(list.get('c')!.unread).toBe(1);
    expect(list.apply(entry(8, 'delete', { target_seq: 4 }))).toBe(false); // not held: the server counts
    list.apply(message(9, { deleted: true }));
    expect(list.get('c')!.unread).toBe(1);
    list.apply(message(10));
    expect(list.get('c')!.unread).toBe(2);
    list.apply(message(11, { sender_id: me }));
    list.apply(entry(12, 'delete', { target_seq: 11, sender_id: me }));
    expect(list.get('c')).toMatchObject({ unread: 0, last_seq: 12 });
  });

  test('what the server says late does not bring mentions back', () => {
    const list = listed({ last_seq: 10, read_seq: 5, unread: 5, unread_mentions: 2 });
    list.read('c', 8, 3, 2);
    list.put(group({ last_seq: 11, read_seq: 5, unread: 6, unread_mentions: 3 }));
    expect(list.get('c')).toMatchObject({ read_seq: 8, unread: 3, unread_mentions: 1 });
  });
});

describe('no longer in a group', () => {
  const removal = (seq: number): Entry => entry(seq, 'member_removed', { user_id: me, sender_id: you });

  test.each([
    ['removed', removal(6)],
    ['left', entry(6, 'member_left', { user_id: me, sender_id: me })],
    ['removed, after a hole', removal(9)],
  ])('%s: it stays until it is dismissed, and sync does not name it', (_how, end) => {
    const list = listed();
    expect(list.apply(end)).toBe(true); // the server would only say that there is no such conversation
    expect(list.left('c')).toEqual(end);
    expect(list.get('c')!.title).toBe('Book club');
    expect(list.held()).toEqual([]);
    flushSync();
    expect(list.sorted).toHaveLength(1);
    list.dismiss('c');
    expect(list.get('c')).toBe(undefined);
    expect(list.left('c')).toBe(undefined);
  });

  test('an answer that was on its way does not bring it back; being added again does', () => {
    const list = listed();
    list.apply(removal(6));
    list.put(group({ last_seq: 5 }));
    list.put(group({ last_seq: 6 }));
    expect(list.left('c')).not.toBe(undefined);
    list.put(group({ last_seq: 20, title: 'Film club' }));
    expect(list.left('c')).toBe(undefined);
    expect(list.get('c')!.title).toBe('Film club');
    expect(list.held()).toEqual([['c', 20]]);
  });

  test('only those are dismissed that one is not in; an end of an unknown one asks nobody', () => {
    const list = listed();
    list.dismiss('c');
    expect(list.get('c')).not.toBe(undefined);
    expect(list.apply({ ...removal(6), conversation_id: 'unknown' })).toBe(true);
  });

  test('its marks are not sent any more', () => {
    vi.useFakeTimers();
    const sent: string[] = [];
    const r = new Receipts({ connected: () => true, closed: (id) => id === 'c', send: async (_mark, id) => void sent.push(id) });
    r.mark('read', 'c', 6);
    r.mark('read', 'd', 1);
    vi.advanceTimersByTime(250);
    vi.useRealTimers();
    expect(sent).toEqual(['d']);
  });
});

describe('the roster', () => {
  const names: Record<string, string> = { [me]: 'Zoe', [you]: 'Yan', ann: 'Ann', ben: 'Ben' };
  const start = (members: Promise<Member[]> | Member[]): { roster: Roster; tell: (e: Entry) => void } => {
    vi.spyOn(http, 'members').mockImplementation(async () => members);
    const people = new People(async (ids) => ids.map((id) => ({ id, username: id, display_name: names[id]! })));
    const roster = new Roster('c', { me, people });
    void roster.want();
    return { roster, tell: (e) => roster.apply(e) };
  };
  const member = (user_id: string, role: MemberRole = 'member'): Member => ({ user_id, role, username: user_id, display_name: names[user_id]! });
  const shown = (r: Roster): string[] => r.members.map((m) => `${m.person?.display_name ?? '?'} ${m.role}`);

  afterEach(() => {
    vi.restoreAllMocks();
  });

  test('owners, admins, members, each by name; and whoever comes is named', async () => {
    const { roster, tell } = start([member(me, 'owner'), member(you), member('ann')]);
    await vi.waitFor(() => expect(roster.loaded).toBe(true));
    expect(shown(roster)).toEqual(['Zoe owner', 'Ann member', 'Yan member']);
    tell(entry(6, 'role_changed', { user_id: you, role: 'admin' }));
    tell(entry(7, 'member_added', { user_id: 'ben' }));
    tell(entry(8, 'member_left', { user_id: 'ann' }));
    tell({ ...entry(9, 'member_removed', { user_id: me }), conversation_id: 'another' });
    await vi.waitFor(() => expect(shown(roster)).toEqual(['Zoe owner', 'Yan admin', 'Ben member']));
    expect(roster.find('be').map((m) => m.user_id)).toEqual(['ben']);
    expect(roster.find(' ')).toHaveLength(3);
  });

  test('what happens while the list is on its way is not lost', async () => {
    let answer = (_m: Member[]): void => {};
    const { roster, tell } = start(new Promise<Member[]>((resolve) => (answer = resolve)));
    tell(entry(6, 'member_added', { user_id: 'ben' }));
    tell(entry(7, 'member_removed', { user_id: 'ann' }));
    answer([member(me, 'owner'), member('ann')]); // from before
    await vi.waitFor(() => expect(shown(roster)).toEqual(['Zoe owner', 'Ben member']));
  });

  test('says what went wrong, and whom a newer list does not have is gone', async () => {
    const { roster } = start([member(me), member('ann')]);
    await vi.waitFor(() => expect(roster.size).toBe(2));
    vi.spyOn(http, 'members').mockRejectedValueOnce(new Error('gone'));
    vi.spyOn(console, 'error').mockReturnValueOnce();
    await roster.load();
    expect(roster.error?.code).toBe('internal');
    expect(roster.size).toBe(2);
    vi.spyOn(http, 'members').mockResolvedValueOnce([member(me)]);
    await roster.load();
    expect(roster.error).toBe(null);
    expect(roster.members.map((m) => m.user_id)).toEqual([me]);
  });

  test('is asked for once by all who want it, and again when something may have gone by', async () => {
    let answer = (_m: Member[]): void => {};
    const { roster } = start(new Promise<Member[]>((resolve) => (answer = resolve)));
    const second = roster.want();
    expect(roster.current).toBe(false);
    answer([member(me)]);
    await second;
    await roster.want();
    expect(roster.current).toBe(true);
    expect(http.members).toHaveBeenCalledTimes(1);
    roster.doubt();
    expect([roster.current, roster.loaded]).toEqual([false, true]);
    const third = roster.want();
    expect(roster.current).toBe(false); // the list on its way may tell of others
    roster.doubt();
    await third;
    expect(http.members).toHaveBeenCalledTimes(2);
    expect(roster.current).toBe(false);
  });

  test.each([
    ['nobody else', [member(me, 'owner')], { by: 'alone' }],
    ['another owner', [member(me, 'owner'), member(you, 'owner'), member('ann')], { by: 'nobody' }],
    ['not an owner', [member(me, 'admin'), member(you, 'owner')], { by: 'nobody' }],
    ['one admin', [member(me, 'owner'), member(you, 'admin'), member('ann')], { by: 'one', user_id: you }],
    ['one other', [member(me, 'owner'), member('ann')], { by: 'one', user_id: 'ann' }],
    ['several admins', [member(me, 'owner'), member(you, 'admin'), member('ann', 'admin')], { by: 'longest', role: 'admin' }],
    ['several others', [member(me, 'owner'), member(you), member('ann')], { by: 'longest', role: 'member' }],
  ] as const)('who takes over when I leave: %s', async (_how, members, heir) => {
    const { roster } = start([...members]);
    await vi.waitFor(() => expect(roster.loaded).toBe(true));
    expect(roster.heir).toEqual(heir);
  });
});

test('names that could not be had are asked for again, and nobody without an id', async () => {
  let fail = true;
  const asked: string[][] = [];
  const people = new People(async (ids) => {
    asked.push(ids);
    if (fail) throw new Error('gone');
    return ids.map((id) => ({ id, username: id, display_name: id.toUpperCase() }));
  });
  vi.spyOn(console, 'error').mockReturnValueOnce();
  expect([people.name('ann'), people.name('')]).toEqual(['', '']);
  await vi.waitFor(() => expect(asked).toEqual([['ann']]));
  fail = false;
  people.retry();
  await vi.waitFor(() => expect(people.name('ann')).toBe('ANN'));
  people.retry();
  expect(asked).toEqual([['ann'], ['ann']]);
  vi.restoreAllMocks();
});

describe('in words', () => {
  const said = (o: Partial<Entry> & Pick<Entry, 'kind'>, alike: string[] = []): string =>
    eventOf(entry(6, o.kind, o), alike.map((user_id) => entry(5, o.kind, { ...o, user_id })), me, (id) => ({ ann: 'Ann', ben: 'Ben', [you]: 'Yan' })[id] ?? '')
      .map((p) => (p.name ? `<${p.text}>` : p.text))
      .join('');

  test.each([
    [{ kind: 'created' }, '<Yan> created the group'],
    [{ kind: 'created', sender_id: me }, 'You created the group'],
    [{ kind: 'member_added', sender_id: 'ann', user_id: 'ben' }, '<Ann> added <Ben>'],
    [{ kind: 'member_added', sender_id: 'ann', user_id: me }, '<Ann> added you'],
    [{ kind: 'member_removed', sender_id: me, user_id: 'ben' }, 'You removed <Ben>'],
    [{ kind: 'member_left', sender_id: 'ben', user_id: 'ben' }, '<Ben> left'],
    [{ kind: 'role_changed', sender_id: 'ann', user_id: 'ben', role: 'admin' }, '<Ann> made <Ben> an admin'],
    [{ kind: 'role_changed', sender_id: 'ann', user_id: 'ann', role: 'member' }, '<Ann> became a member'],
    [{ kind: 'title_changed', sender_id: 'ann', title: 'Film club' }, '<Ann> renamed the group to <Film club>'],
    [{ kind: 'member_added', sender_id: 'unknown', user_id: 'ben' }, '<…> added <Ben>'],
  ] as const)('%o', (o, want) => {
    expect(said(o)).toBe(want);
  });

  test.each([
    [['ann'], '<Yan> added <Ann> and <Ben>'],
    [['ann', 'x', me], '<Yan> added you, <Ann>, <…>, and <Ben>'],
    [['ann', 'x', 'y', me, 'z'], '<Yan> added you, <Ann>, <…>, and 3 others'],
  ])('several at once: %j and Ben', (alike, want) => {
    expect(said({ kind: 'member_added', user_id: 'ben' }, alike)).toBe(want);
  });
});

test('a group has a face of its own, a direct conversation the other’s', () => {
  expect(faceOf(group(), me)).toEqual({ id: 'c', name: 'Book club', group: true });
  expect(faceOf(conversation(), me)).toEqual({ id: you, name: 'You', group: false });
});

describe('rights', () => {
  test('follow the role', () => {
    expect((['owner', 'admin', 'member'] as const).map((r) => [mayManage(r), mayOwn(r)])).toEqual([
      [true, true],
      [true, false],
      [false, false],
    ]);
    const pairs = (['owner', 'admin', 'member'] as const).flatMap((a) => (['owner', 'admin', 'member'] as const).map((b) => mayRemove(a, b)));
    expect(pairs).toEqual([true, true, true, false, false, true, false, false, false]);
  });

  test('a title is needed, and may be 200 characters long', () => {
    expect(groupTitleProblem('  ')).not.toBe(undefined);
    expect(groupTitleProblem(` ${'𝒳'.repeat(200)} `)).toBe(undefined);
    expect(groupTitleProblem('x'.repeat(201))).not.toBe(undefined);
  });
});

test('all members are fetched, page by page', async () => {
  vi.stubGlobal('document', { baseURI: 'https://example.org/chat/' });
  const asked: string[] = [];
  vi.stubGlobal('fetch', async (url: string) => {
    asked.push(url);
    const cursor = new URL(url).searchParams.get('cursor');
    return Response.json(cursor ? { members: [named('ben')] } : { members: [named('ann')], next_cursor: 'next one' });
  });
  expect((await http.members('c')).map((m) => m.user_id)).toEqual(['ann', 'ben']);
  expect(asked).toEqual(['https://example.org/chat/api/v1/conversations/c/members', 'https://example.org/chat/api/v1/conversations/c/members?cursor=next+one']);
  vi.unstubAllGlobals();
});
