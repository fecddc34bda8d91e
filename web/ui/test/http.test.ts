import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { http, prefetchFor } from '../src/lib/api/http';

let asked: string[] = [];
let answer: () => Promise<Response>;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  asked = [];
  vi.stubGlobal('document', { baseURI: 'http://test/' });
  vi.stubGlobal('fetch', (url: string) => {
    asked.push(new URL(url).pathname);
    return answer();
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const list = '/api/v1/conversations';
const blocks = '/api/v1/blocks';

test('what was asked for early is the answer of the first who wants it, and of nobody else', async () => {
  answer = async () => Response.json({ conversations: [] });
  prefetchFor(undefined, undefined, 100, 40);
  expect(await http.conversations(100)).toEqual([]);
  expect(asked).toEqual([list, blocks]);
  await http.conversations(100);
  expect(asked).toEqual([list, blocks, list]);
});

test('what was asked for while the server was away is asked for again', async () => {
  const away = async (): Promise<Response> => {
    throw new TypeError('Failed to fetch');
  };
  answer = away;
  prefetchFor('c', undefined, 100, 40);
  answer = async () => Response.json({ messages: [], has_before: false, has_after: false, last_seq: 0 });
  expect((await http.messages('c', {}, 40)).messages).toEqual([]);
  // Also if the early one is still without an answer, and never gets one.
  let giveUp = (): void => {};
  answer = () => new Promise((_, reject) => (giveUp = () => reject(new TypeError('Failed to fetch'))));
  prefetchFor('c', undefined, 100, 40);
  const wanted = http.messages('c', {}, 40);
  const gaveUp = giveUp;
  answer = async () => Response.json({ messages: [], has_before: false, has_after: false, last_seq: 7 });
  gaveUp();
  expect((await wanted).last_seq).toBe(7);
  // One that fails again is a failure.
  answer = away;
  prefetchFor('c', undefined, 100, 40);
  await expect(http.messages('c', {}, 40)).rejects.toThrow('offline');
});
