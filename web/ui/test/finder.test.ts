import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError } from '../src/lib/api/errors';
import { http } from '../src/lib/api/http';
import type { User } from '../src/lib/api/types';
import { Choice } from '../src/lib/state/choice.svelte';
import { PeopleSearch } from '../src/lib/state/finder.svelte';

const user = (display_name: string): User => {
  const username = display_name.toLowerCase().replaceAll(' ', '.');
  return { id: username, username, display_name, role: 'member' };
};
const everyone = ['Ada Lovelace', 'Ben Okri', 'Benedicta Marsh', 'Cleo Patrick', 'Dan Brown', 'Bo Ben'].map(user);

let asked: { text: string; answer: (err?: ApiError) => Promise<void> }[];
let search: PeopleSearch;
let choice: Choice<User>;
let acted: string[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  asked = [];
  acted = [];
  vi.spyOn(http, 'people').mockImplementation(
    (text) =>
      new Promise((resolve, reject) => {
        const answer = async (err?: ApiError): Promise<void> => {
          if (err) reject(err);
          else resolve(everyone.filter((u) => text.toLowerCase().split(' ').every((w) => u.display_name.toLowerCase().split(' ').some((n) => n.startsWith(w)))));
          await vi.advanceTimersByTimeAsync(0);
        };
        asked.push({ text, answer });
      }),
  );
  search = new PeopleSearch(50);
  choice = new Choice<User>({ search, rows: () => search.people, keyOf: (u) => u.id, fit: (u) => search.fit(u), act: (u) => acted.push(u.display_name) });
  return () => vi.useRealTimers();
});

const type = (text: string): void => {
  search.query = text;
  choice.reset();
};
const shown = (): string[] => search.people.map((u) => u.display_name);
const opened = async (): Promise<void> => {
  void search.ask();
  await asked.shift()!.answer();
};

describe('a list of people that depends on a text', () => {
  test('shows at once which of those it has match', async () => {
    await opened();
    expect(shown()).toHaveLength(everyone.length);
    type('cleo');
    expect(shown()).toEqual(['Cleo Patrick']);
    type('zz');
    expect(shown()).toEqual([]);
    expect(search.current).toBe(false);
  });

  test('Enter waits for the answer to the text in the box, and asks for it at once', async () => {
    await opened();
    type('dan');
    void choice.enter();
    expect([acted, choice.waiting, asked.map((a) => a.text)]).toEqual([[], true, ['dan']]);
    await asked[0]!.answer();
    expect([acted, choice.waiting]).toEqual([['Dan Brown'], false]);
  });

  test.each(['be', 'ben', 'ben o', 'ben okri', 'dan', 'cleo', 'bo', 'ada lovelace'])('never takes an answer to another text: %j', async (text) => {
    await opened();
    type('a');
    await vi.advanceTimersByTimeAsync(150);
    type(text);
    void choice.enter();
    await asked[0]!.answer(); // to "a", which comes late
    expect(acted).toEqual([]);
    await asked[1]!.answer();
    const meant: Record<string, string[]> = { be: [], ben: [], 'ben o': ['Ben Okri'], 'ben okri': ['Ben Okri'], dan: ['Dan Brown'], cleo: ['Cleo Patrick'], bo: ['Bo Ben'], 'ada lovelace': ['Ada Lovelace'] };
    // Of several that match alike, none is taken unseen.
    expect(acted).toEqual(text === 'ben' ? ['Ben Okri'] : meant[text]);
  });

  test('an older answer that comes last changes nothing', async () => {
    type('ben');
    void search.ask();
    type('dan');
    void search.ask();
    await asked[1]!.answer();
    await asked[0]!.answer();
    expect(shown()).toEqual(['Dan Brown']);
    expect([search.current, search.busy]).toEqual([true, false]);
  });

  test.each([
    ['another key', () => type('dan b')],
    ['an arrow key', () => choice.move(1)],
    ['going away', () => choice.reset()],
  ])('%s cancels the Enter that waits', async (_, cancel) => {
    await opened();
    type('dan');
    void choice.enter();
    cancel();
    for (const a of asked.splice(0)) await a.answer();
    expect([acted, choice.waiting]).toEqual([[], false]);
  });

  test('a row that was chosen stays chosen when others come before it', async () => {
    await opened();
    type('b');
    expect(shown()[0]).not.toBe('Dan Brown');
    const at = shown().indexOf('Dan Brown');
    choice.move(1);
    while (choice.active !== at) choice.move(1);
    void search.ask();
    await asked[0]!.answer();
    await choice.enter();
    expect(acted).toEqual(['Dan Brown']);
  });

  test('a click on a row that is gone does nothing', async () => {
    await opened();
    const ada = search.people[0]!;
    type('dan');
    choice.click(ada);
    expect(acted).toEqual([]);
    choice.click(search.people[0]!);
    expect(acted).toEqual(['Dan Brown']);
  });

  test('where the answer fails, Enter takes nobody', async () => {
    await opened();
    type('dan');
    void choice.enter();
    await asked[0]!.answer(new ApiError('offline'));
    expect([acted, choice.waiting, search.error?.code]).toEqual([[], false, 'offline']);
    await vi.advanceTimersByTimeAsync(0);
    void choice.enter(); // asks again
    await asked[1]!.answer();
    expect(acted).toEqual(['Dan Brown']);
  });
});
