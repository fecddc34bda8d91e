import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Conversation, User } from '../src/lib/api/types';
import { arrange, rowWith, type Row } from '../src/lib/group';
import { Blocks } from '../src/lib/state/blocks.svelte';
import { Conversations } from '../src/lib/state/conversations.svelte';
import { archived, listed } from '../src/lib/state/listing';
import { reachOf } from '../src/lib/ui/reach';
import { action, conversation, me, message, you } from './make';

const person = (id: string): User => ({ id, username: id, display_name: id, role: 'member' });

describe('the list of blocks', () => {
  let asked: string[];
  /** Answers the requests for the list that wait, in order. */
  let answers: ((ids: string[] | null) => void)[];
  let changed: string[];
  let blocks: Blocks;

  beforeEach(() => {
    [asked, answers, changed] = [[], [], []];
    vi.stubGlobal('document', { baseURI: 'http://test/' });
    vi.stubGlobal('fetch', async (at: string, { method }: { method: string }) => {
      asked.push(`${method} ${new URL(at).pathname.replace('/api/v1/', '')}`);
      if (method !== 'GET') return new Response(null, { status: 204 });
      const ids = await new Promise<string[] | null>((resolve) => answers.push(resolve));
      return ids ? Response.json({ users: ids.map(person) }) : new Response('{}', { status: 503 });
    });
    blocks = new Blocks({ put: () => {}, onChange: (id) => changed.push(id) });
  });

  afterEach(() => vi.unstubAllGlobals());

  const load = async (ids: string[] | null): Promise<void> => {
    const done = blocks.load();
    await vi.waitFor(() => expect(answers.length).toBeGreaterThan(0));
    answers.shift()!(ids);
    await done;
  };

  test('is as the server has it, and follows the events of other devices', async () => {
    await load(['ben', 'cleo']);
    expect(blocks.ids).toEqual(['ben', 'cleo']);
    blocks.event({ user_id: 'ben', blocked: false });
    blocks.event({ user_id: 'dan', blocked: true });
    blocks.event({ user_id: 'dan', blocked: true });
    expect(blocks.ids).toEqual(['cleo', 'dan']);
    await load(['ben']); // what happened during an outage
    expect(blocks.ids).toEqual(['ben']);
  });

  test('keeps what events said while it was on its way', async () => {
    const done = blocks.load();
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    blocks.event({ user_id: 'ben', blocked: false });
    blocks.event({ user_id: 'cleo', blocked: true });
    answers.shift()!(['ben']);
    await done;
    expect(blocks.ids).toEqual(['cleo']);
  });

  test('stays as it was where the server does not answer, and says why', async () => {
    await load(['ben']);
    await load(null);
    expect(blocks.has('ben')).toBe(true);
    expect(blocks.error?.code).toBe('unavailable');
    await load([]);
    expect(blocks.error).toBe(null);
    expect(blocks.has('ben')).toBe(false);
  });

  test('is not overwritten by an answer that was overtaken', async () => {
    const [first, second] = [blocks.load(), blocks.load()];
    await vi.waitFor(() => expect(answers).toHaveLength(2));
    answers[1]!(['cleo']);
    await second;
    answers[0]!(['ben']);
    await first;
    expect(blocks.ids).toEqual(['cleo']);
  });

  test('changes at once with what is done here', async () => {
    await blocks.set('ben', true);
    expect(blocks.has('ben')).toBe(true);
    await blocks.set('ben', false);
    expect(blocks.has('ben')).toBe(false);
    expect(asked).toEqual(['PUT users/ben/block', 'DELETE users/ben/block']);
    expect(changed).toEqual(['ben', 'ben']);
  });
});

describe('messages of blocked people in a group', () => {
  const minute = (n: number): string => new Date(2026, 0, 1, 12, n).toISOString();
  const by = (seq: number, sender_id: string, o = {}) => message(seq, { sender_id, created_at: minute(seq), ...o });
  const blocked = ['ben', 'cleo'];
  const folds = (seen: number[] = []) => (m: { sender_id: string; seq: number }): boolean => blocked.includes(m.sender_id) && !seen.includes(m.seq);
  const layout = (rows: Row[]): string[] => rows.map((r) => `${r.divider ? '|' : ''}${r.folded ? `${[...r.alike, r.message].map((m) => m.seq).join('+')} folded` : r.message.seq}`);
  const of = (messages: ReturnType<typeof by>[], unreadAfter: number | null = null, seen: number[] = []): string[] =>
    arrange(messages, [], me, unreadAfter, [], folds(seen)).flatMap((d) => layout(d.rows));

  test('are one line where they follow each other, whoever of them wrote', () => {
    expect(of([by(1, 'ann'), by(2, 'ben'), by(3, 'cleo'), by(4, 'ann'), by(5, 'ben')])).toEqual(['1', '2+3 folded', '4', '5 folded']);
  });

  test('are shown each by itself once the reader asked for them', () => {
    expect(of([by(1, 'ben'), by(2, 'ben'), by(3, 'ben')], null, [1, 2])).toEqual(['1', '2', '3 folded']);
  });

  test('do not fold over what happened in the group, the unread ones or a day', () => {
    const added = by(2, 'ann', { kind: 'member_added', user_id: 'dan' });
    expect(of([by(1, 'ben'), added, by(3, 'ben')])).toEqual(['1 folded', '2', '3 folded']);
    expect(of([by(1, 'ben'), by(2, 'ben'), by(3, 'ben')], 1)).toEqual(['1 folded', '|2+3 folded']);
    expect(of([by(1, 'ben'), by(2, 'ben', { created_at: new Date(2026, 0, 2).toISOString() })])).toEqual(['1 folded', '2 folded']);
  });

  test('do not hang together with what is shown beside them', () => {
    const [shown, folded] = arrange([by(1, 'ben'), by(2, 'ben')], [], me, null, [], folds([1]))[0]!.rows;
    expect([shown!.last, folded!.first]).toEqual([true, true]);
  });

  test('are found by each of their seqs, and drawn again only when there are more of them', () => {
    const first = arrange([by(1, 'ben'), by(2, 'ben')], [], me, null, [], folds());
    expect(rowWith(first, 1)).toBe(rowWith(first, 2));
    const same = arrange([...first[0]!.rows[0]!.alike, first[0]!.rows[0]!.message], [], me, null, first, folds());
    expect(same[0]!.rows[0]).toBe(first[0]!.rows[0]);
  });

  test('leave what the user wrote alone', () => {
    expect(arrange([by(1, me)], [], me, null, [], () => true)[0]!.rows[0]!.folded).toBe(false);
  });
});

describe('a conversation', () => {
  const put = (o: Partial<Conversation>): Conversations => {
    const all = new Conversations(me);
    all.put(conversation({ last_seq: 5, ...o }));
    return all;
  };

  test('that is archived is not counted, and comes back with its next entry', () => {
    const all = put({ archived: true, unread: 2 });
    expect(all.told(Date.now())).toBe(0);
    all.apply(message(6));
    expect(all.get('c')!.archived).toBe(false);
    expect(all.told(Date.now())).toBe(3);
  });

  test('stays archived where an answer from before that comes late', () => {
    const all = put({ last_seq: 4 });
    all.apply(message(5));
    all.put(conversation({ last_seq: 5, archived: true }));
    all.put(conversation({ last_seq: 4, archived: false }));
    expect(all.get('c')!.archived).toBe(true);
  });

  test('is accepted by writing in it, and an answer from before that does not take it back', () => {
    const all = put({ accepted: false });
    all.apply(message(6, { sender_id: you }));
    expect(all.get('c')!.accepted).toBe(false);
    all.apply(message(7, { sender_id: me }));
    expect(all.get('c')!.accepted).toBe(true);
    all.put(conversation({ last_seq: 6, accepted: false }));
    all.put(conversation({ last_seq: 7, accepted: false }));
    expect(all.get('c')!.accepted).toBe(true);
  });

  test('says that a side blocks also where the news was overtaken by an entry', () => {
    const all = put({});
    all.apply(message(6));
    all.put(conversation({ last_seq: 5, blocked: true }));
    expect(all.get('c')).toMatchObject({ last_seq: 6, blocked: true });
  });

  test('that is blocked takes no edits, reactions and replies; what the user wrote can be deleted', () => {
    const c = conversation({ blocked: true });
    expect(reachOf(message(1, { sender_id: me }), c, me, true)).toMatchObject({ react: false, reply: false, edit: false, delete: true, copyText: true });
    expect(reachOf(message(1), c, me, true)).toMatchObject({ react: false, reply: false, delete: false });
  });
});

describe('the list', () => {
  const all = new Conversations(me);
  const pending = new Map<string, never[]>();
  const live = { conversations: all, pending, drafts: { preview: () => '', ids: () => [] }, conversation: (id: string) => all.get(id) } as unknown as Parameters<typeof listed>[0];
  const ids = (list: Conversation[]): string[] => list.map((c) => c.id).sort();

  test('leaves out what is archived, be it open or not, until an entry comes', () => {
    all.put(conversation({ id: 'talk', last_seq: 3 }));
    all.put(conversation({ id: 'old', last_seq: 3, archived: true }));
    all.put(conversation({ id: 'begun', last_seq: 1, archived: true }));
    expect(ids(listed(live, 'old'))).toEqual(['talk']);
    expect(ids(archived(live))).toEqual(['old']);
    all.apply(action(4, 'reaction_added', 2, { conversation_id: 'old', emoji: '👍' }));
    flushSync();
    expect(ids(listed(live, ''))).toEqual(['old', 'talk']);
    expect(archived(live)).toEqual([]);
  });

  test('shows an archived one with a message that was not sent', () => {
    all.put(conversation({ id: 'old', last_seq: 4, archived: true }));
    pending.set('old', []);
    expect(ids(listed(live, ''))).toEqual(['old', 'talk']);
    expect(archived(live)).toEqual([]);
    pending.delete('old');
    expect(ids(archived(live))).toEqual(['old']);
  });
});
