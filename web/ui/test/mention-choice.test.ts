import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError } from '../src/lib/api/errors';
import { http } from '../src/lib/api/http';
import type { Member } from '../src/lib/api/types';
import { Mentions } from '../src/lib/state/mentions.svelte';
import { People } from '../src/lib/state/people.svelte';
import { Roster } from '../src/lib/state/roster.svelte';
import { conversation, me } from './make';

const member = (username: string): Member => ({ user_id: username, username, display_name: username, role: 'member' });
const few = [member('bea'), member('carl')];
const everyone = [...few, member('ben'), member('benno'), member('carla')];

let mentions: Mentions;
let answer: (all: Member[] | ApiError) => void;

beforeEach(() => {
  vi.spyOn(http, 'members').mockImplementation(
    () => new Promise((resolve, reject) => (answer = (all) => (all instanceof ApiError ? reject(all) : resolve(all)))),
  );
  const live = { me, people: new People(async () => []) };
  live.people.put(few.map((m) => ({ ...m, id: m.user_id })));
  mentions = new Mentions(live, () => conversation({ kind: 'group', members: few }), new Roster('c', live));
});

const type = (text: string): void => mentions.look(text, text.length);
const offered = (): string[] => mentions.matches.map((p) => p.username);

describe('Enter while the members are on their way', () => {
  test.each([
    ['@be', undefined], // bea, ben and benno: the user has to see them
    ['@ben', 'ben'],
    ['@benn', 'benno'],
    ['@bea', 'bea'],
    ['@carl', 'carl'],
    ['@zz', null],
  ])('after %j chooses %j', async (text, meant) => {
    type(text);
    expect(mentions.unsure).toBe(true);
    const settled = mentions.settled();
    answer(everyone);
    expect((await settled)?.username ?? (await settled)).toBe(meant);
    expect(mentions.unsure).toBe(false);
  });

  test('chooses nobody once the text has changed', async () => {
    type('@be');
    const settled = mentions.settled();
    type('@ben');
    answer(everyone);
    expect(await settled).toBe(undefined);
    expect(offered()).toEqual(['ben', 'benno']);
  });

  test('takes the member whom the user has chosen, and keeps that one chosen', async () => {
    type('@b');
    mentions.move(0);
    expect(mentions.unsure).toBe(false);
    answer([member('aab'), ...everyone, member('b')]);
    await vi.waitFor(() => expect(mentions.matches.length).toBeGreaterThan(1));
    expect(mentions.matches[mentions.at]!.username).toBe('bea');
    type('@be');
    expect(mentions.at).toBe(0);
  });

  test('does not wait for what cannot be had', async () => {
    type('@be');
    const settled = mentions.settled();
    answer(new ApiError('offline'));
    expect(await settled).toBe(undefined);
    expect([offered(), mentions.unsure]).toEqual([['bea'], false]);
  });
});
