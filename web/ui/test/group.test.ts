import { describe, expect, test } from 'vitest';
import { arrange, dayOf, rowWith, type Pending } from '../src/lib/group';
import { dayTitle, shortTime } from '../src/lib/time';
import { me, message, you } from './make';

const at = (day: number, minutes: number): string => new Date(2026, 0, day, 12, minutes).toISOString();
const pending = (client_id: string, o: Partial<Pending> = {}): Pending => ({
  client_id,
  conversation_id: 'c',
  body: 'mine',
  created_at: at(1, 30),
  state: 'queued',
  ...o,
});

/** Days with their rows, as seq and whether each begins and ends a group. */
const sketch = (...args: Parameters<typeof arrange>): unknown =>
  arrange(...args).map((d) => [d.key, d.rows.map((r) => `${r.divider ? '|' : ''}${r.first ? '[' : ''}${r.pending?.client_id ?? r.message.seq}${r.last ? ']' : ''}`).join(' ')]);

describe('groups', () => {
  test('one author within five minutes hangs together', () => {
    const rows = [
      message(1, { created_at: at(1, 0) }),
      message(2, { created_at: at(1, 3) }),
      message(3, { created_at: at(1, 8) }), // five minutes after the one before
      message(4, { created_at: at(1, 14) }), // more than five
      message(5, { created_at: at(1, 14), sender_id: me }),
    ];
    expect(sketch(rows, [], me, null)).toEqual([['2026-01-01', '[1 2 3] [4] [5]']]);
  });

  test('an event stands alone', () => {
    const rows = [message(1, { kind: 'created' }), message(2), message(3)];
    expect(sketch(rows, [], me, null)).toEqual([[dayOf(new Date(rows[0]!.created_at)), '[1] [2 3]']]);
  });

  test('many who were added at once are one line, which goes by the last of them', () => {
    const added = (seq: number, o = {}) => message(seq, { kind: 'member_added', user_id: `user ${seq}`, ...o });
    const rows = [added(1), added(2), added(3), added(4, { sender_id: me }), message(5), added(6), added(7, { kind: 'member_removed' }), added(8, { kind: 'role_changed' }), added(9, { kind: 'role_changed' })];
    const [day] = arrange(rows, [], me, null);
    expect(day!.rows.map((r) => [...r.alike, r.message].map((m) => m.seq))).toEqual([[1, 2, 3], [4], [5], [6], [7], [8], [9]]);
    // A link to any of them leads there.
    expect([1, 2, 3, 5, 99].map((seq) => rowWith([day!], seq)?.message.seq)).toEqual([3, 3, 3, 5, undefined]);
    // More of them before change neither its key nor the others; none more, nothing at all.
    const [less] = arrange(rows.slice(1), [], me, null);
    expect(less!.rows.map((r) => r.key)).toEqual(day!.rows.map((r) => r.key));
    expect(arrange(rows, [], me, null, [day!])[0]!.rows.every((r, i) => r === day!.rows[i])).toBe(true);
  });

  test('a day ends a group, and a clock that goes back opens no second Monday', () => {
    const rows = [
      message(1, { created_at: new Date(2026, 0, 1, 23, 59).toISOString() }),
      message(2, { created_at: new Date(2026, 0, 2, 0, 1).toISOString() }),
      message(3, { created_at: new Date(2026, 0, 1, 23, 59).toISOString() }),
      message(4, { created_at: new Date(2026, 0, 3, 0, 1).toISOString() }),
    ];
    expect(sketch(rows, [], me, null)).toEqual([
      ['2026-01-01', '[1]'],
      ['2026-01-02', '[2 3]'],
      ['2026-01-03', '[4]'],
    ]);
  });
});

describe('the divider', () => {
  const rows = [message(1), message(2, { sender_id: me }), message(3), message(4)];

  test('stands once, before the first unread message of somebody else', () => {
    expect(sketch(rows, [], me, 1)).toEqual([['2026-01-01', '[1] [2] |[3 4]']]);
    expect(sketch(rows, [], me, 3)).toEqual([['2026-01-01', '[1] [2] [3] |[4]']]);
  });

  test('is not there if nothing is unread', () => {
    expect(sketch(rows, [], me, null)).toEqual([['2026-01-01', '[1] [2] [3 4]']]);
    expect(sketch(rows, [], me, 4)).toEqual([['2026-01-01', '[1] [2] [3 4]']]);
    expect(sketch([message(5, { sender_id: me })], [], me, 4)).toEqual([['2026-01-01', '[5]']]);
  });
});

describe('what is on its way', () => {
  test('comes after what is stored and joins its group', () => {
    const rows = [message(1, { sender_id: me, created_at: at(1, 28) })];
    expect(sketch(rows, [pending('a'), pending('b')], me, null)).toEqual([['2026-01-01', '[1 a b]']]);
  });

  test('is shown once when its entry is there', () => {
    const rows = [message(1, { sender_id: me, client_id: 'a', created_at: at(1, 30) })];
    expect(sketch(rows, [pending('a', { state: 'sent', seq: 1 }), pending('b')], me, null)).toEqual([['2026-01-01', '[1 b]']]);
    // Also when the entry went by with a window that did not hold it.
    expect(sketch([message(9)], [pending('a', { state: 'sent', seq: 3 })], me, null)).toHaveLength(1);
  });

  test('keeps its element when it is stored', () => {
    const before = arrange([], [pending('a')], me, null)[0]!.rows[0]!.key;
    const after = arrange([message(7, { sender_id: me, client_id: 'a' })], [], me, null)[0]!.rows[0]!.key;
    expect(after).toBe(before);
    // What others chose as their id is theirs alone.
    expect(arrange([message(7, { sender_id: you, client_id: 'a' })], [], me, null)[0]!.rows[0]!.key).toBe('7');
  });
});

describe('times in words', () => {
  test.each([
    ['2026-03-10', 'Today'],
    ['2026-03-09', 'Yesterday'],
    ['2026-03-06', 'Friday'],
    ['2026-03-03', /Tuesday.*3/],
    ['2025-03-10', /2025/],
  ])('%s on 2026-03-10', (day, want) => {
    expect(dayTitle(day, '2026-03-10')).toMatch(want);
  });

  test('short ones for the list', () => {
    const on = (y: number, m: number, d: number): string => shortTime(new Date(y, m - 1, d, 14, 5).toISOString(), '2026-03-10');
    expect(on(2026, 3, 10)).toMatch(/\d:05/);
    expect(on(2026, 3, 9)).toBe('Yesterday');
    expect(on(2026, 3, 6)).toBe('Fri');
    expect(on(2026, 2, 1)).toMatch(/Feb/);
    expect(on(2025, 2, 1)).toMatch(/25/);
  });
});
