import { describe, expect, test } from 'vitest';
import type { Entry, Message } from '../src/lib/api/types';
import { fold, quoteOf } from '../src/lib/state/fold';
import { action, me, message, range, you } from './make';

const after = (rows: Message[], ...entries: Entry[]): Message[] => entries.reduce(fold, rows);
const only = (m: Message, ...entries: Entry[]): Message => after([m], ...entries)[0]!;

describe('an edit', () => {
  const edit = action(5, 'edit', 1, { body: 'better', mentions: ['ada'] });

  test('is the text from then on, and says when', () => {
    const m = only(message(1, { mentions: ['ben'] }), edit);
    expect(m).toMatchObject({ body: 'better', mentions: ['ada'], edited_at: edit.created_at, seq: 1, created_at: message(1).created_at });
    expect(only(m, action(6, 'edit', 1, { body: 'nobody named' }))).not.toHaveProperty('mentions');
  });

  test('twice changes nothing, so that nothing is drawn again', () => {
    const rows = after([message(1)], edit);
    expect(after(rows, edit)).toBe(rows);
  });

  test('keeps the reactions and what is answered', () => {
    const m = only(message(3, { reply_to: 1 }), action(4, 'reaction_added', 3, { emoji: '👍' }), action(5, 'edit', 3, { body: 'b' }));
    expect(m).toMatchObject({ reply_to: 1, reactions: [{ emoji: '👍', user_ids: [you] }] });
  });

  test('of a message that is not held does nothing', () => {
    const rows = range(1, 3);
    expect(after(rows, action(9, 'edit', 7, { body: 'x' }))).toBe(rows);
    expect(after(rows, message(4))).toBe(rows);
  });
});

describe('a deletion', () => {
  const gone = action(5, 'delete', 1);

  test('leaves nothing of the text, and keeps the place', () => {
    const m = only(
      message(1, { mentions: ['ada'], client_id: 'x' }),
      action(3, 'reaction_added', 1, { emoji: '👍' }),
      action(4, 'edit', 1, { body: 'b' }),
      gone,
    );
    expect(m).toMatchObject({ seq: 1, deleted: true, client_id: 'x' });
    for (const field of ['body', 'mentions', 'reactions', 'edited_at', 'by_admin']) expect(m).not.toHaveProperty(field);
  });

  test('by an admin of the server, who is no member, says so', () => {
    expect(only(message(1), { ...gone, sender_id: 'root', by_admin: true })).toMatchObject({ deleted: true, by_admin: true });
  });

  test('is for good: what comes after it changes nothing', () => {
    const rows = after([message(1)], gone);
    expect(after(rows, gone, action(6, 'edit', 1, { body: 'back' }), action(7, 'reaction_added', 1, { emoji: '👍' }))).toBe(rows);
  });

  test('is not for lines about people', () => {
    const rows = [message(1, { kind: 'title_changed', title: 'T' })];
    expect(after(rows, gone)).toBe(rows);
  });
});

describe('reactions', () => {
  const add = (seq: number, emoji: string, sender_id: string): Entry => action(seq, 'reaction_added', 1, { emoji, sender_id });
  const remove = (seq: number, emoji: string, sender_id: string): Entry => action(seq, 'reaction_removed', 1, { emoji, sender_id });

  test('of several people stand together, in the order of their first use', () => {
    const m = only(message(1), add(2, '👍', you), add(3, '🎉', me), add(4, '👍', me));
    expect(m.reactions).toEqual([
      { emoji: '👍', user_ids: [you, me] },
      { emoji: '🎉', user_ids: [me] },
    ]);
  });

  test('are one for each person and emoji, however often they are told', () => {
    const rows = after([message(1)], add(2, '👍', me));
    expect(after(rows, add(2, '👍', me), add(3, '👍', me))).toBe(rows);
  });

  test('go one by one, and their chip with the last', () => {
    const two = only(message(1), add(2, '👍', you), add(3, '👍', me));
    expect(only(two, remove(4, '👍', you)).reactions).toEqual([{ emoji: '👍', user_ids: [me] }]);
    expect(only(two, remove(4, '👍', you), remove(5, '👍', me)).reactions).toEqual([]);
    const rows = [message(1)];
    expect(after(rows, remove(4, '👍', you))).toBe(rows);
  });

  test('replayed from any earlier point end as they were', () => {
    const log = [add(2, '👍', me), add(3, '🎉', you), remove(4, '👍', me), add(5, '👍', you), action(6, 'edit', 1, { body: 'b' }), remove(7, '🎉', you)];
    const end = after([message(1)], ...log);
    for (let from = 0; from < log.length; from++) expect(after(end, ...log.slice(from))[0]).toEqual(end[0]);
  });
});

describe('a quote', () => {
  const quote = quoteOf(message(1));

  test('follows the message that it is of', () => {
    const rows = [message(3, { reply_to: 1, quote }), message(4)];
    const edited = after(rows, action(5, 'edit', 1, { body: 'better' }));
    expect(edited[0]!.quote).toEqual({ seq: 1, sender_id: you, body: 'better', deleted: false });
    expect(edited[1]).toBe(rows[1]);
    const deleted = after(edited, action(6, 'delete', 1));
    expect(deleted[0]!.quote).toEqual({ seq: 1, sender_id: you, body: '', deleted: true });
    expect(after(deleted, action(7, 'edit', 1, { body: 'back' }))).toBe(deleted);
    expect(after(rows, action(5, 'reaction_added', 1, { emoji: '👍' }))).toBe(rows);
  });

  test('says whom the message mentions, and follows that too', () => {
    const rows = [message(3, { reply_to: 1, quote: quoteOf(message(1, { mentions: ['ada'] })) })];
    expect(rows[0]!.quote!.mentions).toEqual(['ada']);
    const edited = after(rows, action(5, 'edit', 1, { body: message(1).body!, mentions: ['ben'] }));
    expect(edited[0]!.quote!.mentions).toEqual(['ben']);
    expect(after(edited, action(6, 'delete', 1))[0]!.quote).not.toHaveProperty('mentions');
  });

  test('is short, and does not cut a character in two', () => {
    expect([...quoteOf(message(1, { body: '👍'.repeat(300) })).body]).toHaveLength(200);
    expect(quoteOf(message(1, { body: undefined, deleted: true }))).toEqual({ seq: 1, sender_id: you, body: '', deleted: true });
  });
});

describe('the erasing of a deleted user’s messages', () => {
  const erased: Entry = { ...action(9, 'messages_erased', 0, { user_id: you }) };
  delete erased.target_seq;

  test('leaves tombstones of theirs, and the messages of others', () => {
    const rows = after([message(1, { edited_at: 'x', reactions: [{ emoji: '👍', user_ids: [me] }] }), message(2, { sender_id: me })], erased);
    expect(rows[0]).toMatchObject({ seq: 1, deleted: true });
    expect(rows[0]).not.toHaveProperty('body');
    expect(rows[0]).not.toHaveProperty('reactions');
    expect(rows[1]).toMatchObject({ body: 'text 2' });
  });

  test('reaches quotes of theirs', () => {
    const [theirs, mine] = after([message(3, { sender_id: me, quote: quoteOf(message(1)) }), message(4, { sender_id: me, quote: quoteOf(message(3, { sender_id: me })) })], erased);
    expect(theirs!.quote).toMatchObject({ seq: 1, body: '', deleted: true });
    expect(mine!.quote).toMatchObject({ body: 'text 3', deleted: false });
  });

  test('twice changes nothing, and is no row', () => {
    const rows = after([message(1)], erased);
    expect(after(rows, erased)).toBe(rows);
    expect(rows).toHaveLength(1);
  });
});
