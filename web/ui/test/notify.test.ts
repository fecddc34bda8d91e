import { describe, expect, test } from 'vitest';
import { isForever, isMuted, isQuiet, isTold, muteFor } from '../src/lib/notify';
import { Conversations } from '../src/lib/state/conversations.svelte';
import { payloadOf, placeOf, show, type Payload } from '../worker/payload';
import { conversation, me, message } from './make';

const payload = (o: Partial<Payload> = {}): Payload => ({ type: 'message', conversation_id: 'c', seq: 5, title: 'Ann', body: 'Hello', unread: 1, tag: 'c', at: '', ...o });

describe('what was pushed', () => {
  test('is read, and something is shown of what cannot be', () => {
    expect(payloadOf(JSON.stringify(payload()))).toEqual(payload());
    for (const bad of [undefined, '', 'text', 'null', '7', '"x"']) expect(payloadOf(bad)).toMatchObject({ title: 'Parley', body: 'New message' });
    expect(payloadOf('{"type":"later","tag":"x"}')).toMatchObject({ type: 'later', title: 'Parley', body: 'New message', tag: 'x' });
  });

  test('leads to its conversation, a test to the settings, anything else to the list', () => {
    expect(placeOf(payload())).toBe('c/c');
    expect(placeOf(payload({ type: 'test', conversation_id: undefined }))).toBe('settings');
    expect(placeOf(payloadOf(undefined))).toBe('');
    expect(placeOf(null)).toBe('');
  });

  test('is announced once, and never shown over something newer', () => {
    const p = payload();
    expect(show(p, undefined, false)).toEqual({ payload: p, again: true });
    expect(show(p, payload({ seq: 4 }), false)).toEqual({ payload: p, again: true });
    expect(show(p, payload(), false)).toEqual({ payload: p, again: false });
    const newer = payload({ seq: 6 });
    expect(show(p, newer, false)).toEqual({ payload: newer, again: false });
    expect(show(p, undefined, true)).toEqual({ payload: p, again: false });
    const probe = payload({ type: 'test', seq: undefined });
    expect(show(probe, probe, false).again).toBe(true);
  });
});

describe('a mute', () => {
  const now = new Date(2026, 2, 28, 22, 30); // the night before the clocks change, in Europe

  test('lasts some hours by the server’s clock, until eight tomorrow morning, or for ever', () => {
    expect(muteFor('hour', now)).toEqual({ mute_for_s: 3_600 });
    expect(muteFor('night', now)).toEqual({ mute_for_s: 8 * 3_600 });
    const tomorrow = new Date(now.getTime() + muteFor('tomorrow', now).mute_for_s! * 1_000);
    expect([tomorrow.getDate(), tomorrow.getHours(), tomorrow.getMinutes(), tomorrow.getSeconds()]).toEqual([29, 8, 0, 0]);
    expect(isForever(muteFor('ever', now).muted_until!)).toBe(true);
  });

  test('is over when its time has come', () => {
    const c = { notify: 'all' as const, muted_until: '2026-01-01T10:00:00Z' };
    const at = Date.parse(c.muted_until);
    expect(isMuted(c, at - 1)).toBe(true);
    expect(isMuted(c, at)).toBe(false);
    expect(isQuiet({ notify: 'none', muted_until: null }, at)).toBe(true);
    expect(isQuiet({ notify: 'mentions', muted_until: null }, at)).toBe(false);
  });

  test('is never made up for: what was said meanwhile is told of neither then nor later', () => {
    const e = message(1);
    const after = new Date(Date.parse(e.created_at) + 1).toISOString();
    expect(isTold({ notify: 'all', muted_until: null }, e, me)).toBe(true);
    expect(isTold({ notify: 'all', muted_until: e.created_at }, e, me)).toBe(true);
    expect(isTold({ notify: 'all', muted_until: after }, e, me)).toBe(false);
    expect(isTold({ notify: 'none', muted_until: null }, { ...e, mentions: [me] }, me)).toBe(false);
    const mentions = { notify: 'mentions' as const, muted_until: null };
    expect(isTold(mentions, { ...e, mentions: ['somebody'] }, me)).toBe(false);
    expect(isTold(mentions, { ...e, mentions: [me] }, me)).toBe(true);
  });

  test('keeps its conversation out of the count of what is new', () => {
    const list = new Conversations(me);
    list.put(conversation({ id: 'a', unread: 2 }));
    list.put(conversation({ id: 'b', unread: 3, muted_until: '2026-01-01T10:00:00Z' }));
    list.put(conversation({ id: 'n', unread: 5, notify: 'none' }));
    expect(list.told(Date.parse('2026-01-01T09:00:00Z'))).toBe(2);
    expect(list.told(Date.parse('2026-01-01T11:00:00Z'))).toBe(5);
  });

  test('is known although an entry came first', () => {
    const list = new Conversations(me);
    list.put(conversation({ last_seq: 4 }));
    list.apply(message(5));
    list.put(conversation({ last_seq: 4, notify: 'mentions', muted_until: '2026-01-01T10:00:00Z' }));
    expect(list.get('c')).toMatchObject({ last_seq: 5, notify: 'mentions', muted_until: '2026-01-01T10:00:00Z' });
  });

  test('reading is noticed also when the count is as before', () => {
    const list = new Conversations(me);
    list.put(conversation({ last_seq: 4, read_seq: 4 }));
    const before = list.readings;
    list.apply(message(5));
    list.read('c', 5, 1);
    expect(list.get('c')!.unread).toBe(0);
    expect(list.readings).toBeGreaterThan(before);
  });
});
