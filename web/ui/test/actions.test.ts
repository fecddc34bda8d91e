import { describe, expect, test } from 'vitest';
import { ApiError } from '../src/lib/api/errors';
import type { Entry, Sent } from '../src/lib/api/types';
import { Actions } from '../src/lib/state/actions';
import { Log } from '../src/lib/state/log.svelte';
import { reachOf } from '../src/lib/ui/reach';
import { conversation, FakeServer, me, message, you } from './make';

interface Asked {
  type: string;
  data: Record<string, unknown>;
  answer: (err?: ApiError) => void;
}

async function stage(): Promise<{ actions: Actions; log: Log; asked: Asked[] }> {
  const log = new Log(new FakeServer(10));
  await log.open();
  const asked: Asked[] = [];
  const actions = new Actions({
    me,
    log: () => log,
    request: (type, data) =>
      new Promise((resolve, reject) => {
        asked.push({ type, data: data as Record<string, unknown>, answer: (err) => (err ? reject(err) : resolve({ seq: 11 } as Sent)) });
      }),
  });
  return { actions, log, asked };
}

const who = (log: Log): string[] => log.rows.find((m) => m.seq === 4)!.reactions?.flatMap((r) => r.user_ids) ?? [];

describe('what one does to a message', () => {
  test('edits carry the id they were given, and whom they name', async () => {
    const { actions, asked } = await stage();
    const done = actions.edit(message(4), 'id', 'better', ['ada']);
    asked[0]!.answer();
    await done;
    expect(asked[0]).toMatchObject({ type: 'message.edit', data: { conversation_id: 'c', seq: 4, client_id: 'id', body: 'better', mentions: ['ada'] } });
  });

  test('a reaction is shown at once', async () => {
    const { actions, log, asked } = await stage();
    const done = actions.react(message(4), '👍', true);
    expect(who(log)).toEqual([me]);
    asked[0]!.answer();
    await done;
    expect(who(log)).toEqual([me]);
    expect(asked[0]).toMatchObject({ type: 'message.react', data: { seq: 4, emoji: '👍' } });
    expect(asked[0]!.data).not.toHaveProperty('remove');
  });

  test('and taken back if it was refused', async () => {
    const { actions, log, asked } = await stage();
    const done = actions.react(message(4), '👍', true);
    asked[0]!.answer(new ApiError('conflict'));
    await expect(done).rejects.toThrow('conflict');
    expect(who(log)).toEqual([]);
    // The log has the say again.
    log.apply({ ...message(11), kind: 'reaction_added', target_seq: 4, emoji: '👍', sender_id: me } as Entry);
    expect(who(log)).toEqual([me]);
  });

  test('who changes their mind gets what they wanted last, asked for one after the other', async () => {
    const { actions, log, asked } = await stage();
    const done = actions.react(message(4), '👍', true);
    await actions.react(message(4), '👍', false);
    expect(who(log)).toEqual([]);
    expect(asked).toHaveLength(1);
    asked[0]!.answer();
    await Promise.resolve();
    await Promise.resolve();
    expect(asked[1]!.data.remove).toBe(true);
    asked[1]!.answer(new ApiError('offline'));
    await expect(done).rejects.toThrow('offline');
    expect(who(log)).toEqual([me]); // the first was done
  });

  test('two emoji are two things', async () => {
    const { actions, asked } = await stage();
    void actions.react(message(4), '👍', true);
    void actions.react(message(4), '🎉', true);
    expect(asked).toHaveLength(2);
  });
});

describe('what one may do', () => {
  const can = (...args: Parameters<typeof reachOf>): string =>
    Object.entries(reachOf(...args))
      .filter(([, may]) => may)
      .map(([what]) => what)
      .join(' ');
  const direct = conversation();
  const group = conversation({ kind: 'group' });

  test.each([
    ['one’s own', message(1, { sender_id: me }), direct, 'react reply edit copyText copyLink info delete'],
    ['somebody else’s', message(1), direct, 'react reply copyText copyLink report'],
    ['somebody else’s in a group, as a member', message(1), group, 'react reply copyText copyLink info report'],
    ['somebody else’s in a group, as an admin', message(1), { ...group, role: 'admin' as const }, 'react reply copyText copyLink info delete report'],
    ['somebody else’s in a group, as an owner', message(1), { ...group, role: 'owner' as const }, 'react reply copyText copyLink info delete report'],
    ['what was deleted', message(1, { deleted: true, sender_id: you }), { ...group, role: 'owner' as const }, 'copyLink'],
    ['a line about people', message(1, { kind: 'member_added' }), group, ''],
  ])('with %s', (_, m, c, want) => {
    expect(can(m, c, me, true)).toBe(want);
  });

  test('with what is on its way', () => {
    expect(can(message(1, { sender_id: me }), direct, me, false)).toBe('copyText');
  });
});
