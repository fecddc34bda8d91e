import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Conversation, Profile } from '../src/lib/api/types';
import type { Announcer } from '../src/lib/state/announcer';
import type { Blocks } from '../src/lib/state/blocks.svelte';
import { Conversations } from '../src/lib/state/conversations.svelte';
import { People } from '../src/lib/state/people.svelte';
import type { Payload } from '../worker/payload';
import { action, conversation, me, message, you } from './make';

interface Notification {
  title: string;
  body: string;
  tag: string;
  silent: boolean;
  renotify: boolean;
  data: Payload;
  close(): void;
}

/** What the system shows: one notification a tag, and how often it made a sound. */
class Screen {
  readonly scope = 'https://chat.test/chat/';
  shown: Notification[] = [];
  sounds = 0;

  async getNotifications({ tag }: { tag?: string } = {}): Promise<Notification[]> {
    await Promise.resolve();
    return this.shown.filter((n) => tag === undefined || n.tag === tag);
  }

  async showNotification(title: string, o: Omit<Notification, 'title' | 'close'>): Promise<void> {
    await Promise.resolve();
    if (!o.silent) this.sounds++;
    const n = { title, ...o, close: () => void (this.shown = this.shown.filter((s) => s !== n)) };
    this.shown = [...this.shown.filter((s) => s.tag !== o.tag), n];
  }

  get texts(): string[] {
    return this.shown.map((n) => `${n.title}: ${n.body}`);
  }
}

let screen: Screen;
let conversations: Conversations;
let focused: boolean;
let say: (content: Profile['push_content'] | undefined) => void;
let owner: string | null;
let make: () => Announcer;
let blocks: Blocks;
let announcer: Announcer;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  screen = new Screen();
  conversations = new Conversations(me);
  put({});
  focused = false;
  owner = me;
  vi.stubGlobal('document', { baseURI: 'https://chat.test/chat/', visibilityState: 'visible', hasFocus: () => focused });
  vi.stubGlobal('matchMedia', () => ({ matches: false }));
  vi.stubGlobal('Notification', { permission: 'granted' });
  vi.stubGlobal('localStorage', { getItem: () => owner });
  let last: Promise<unknown> = Promise.resolve();
  vi.stubGlobal('navigator', {
    languages: [],
    serviceWorker: { getRegistration: async () => screen },
    locks: { request: (_: string, f: () => Promise<unknown>) => (last = last.then(f)) },
  });
  vi.stubGlobal('BroadcastChannel', class {});
  const { session } = await import('../src/lib/state/session.svelte');
  say = (push_content) => (session.me = { id: me, username: 'me', display_name: 'Me', role: 'member', ...(push_content ? { push_content } : {}) });
  say('full');
  const people = new People(async () => []);
  people.put([{ id: you, username: 'you', display_name: 'You' }]);
  const { Announcer } = await import('../src/lib/state/announcer');
  const { Blocks } = await import('../src/lib/state/blocks.svelte');
  blocks = new Blocks({ put: () => {}, onChange: () => {} });
  make = () => new Announcer({ me, conversations, people, blocks });
  announcer = make();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settled = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1_000);
/** The conversation is from now on like that. */
function put(o: Partial<Conversation>): void {
  conversations.clear();
  conversations.put(conversation({ last_seq: 5, read_seq: 4, unread: 1, ...o }));
}

describe('what comes to a page that nobody looks at', () => {
  test('is shown as the server would have pushed it', async () => {
    announcer.hear(message(5));
    expect(screen.shown).toEqual([]);
    await settled();
    expect(screen.shown).toMatchObject([
      { title: 'You', body: 'text 5', tag: 'c', silent: false, renotify: true, data: { type: 'message', conversation_id: 'c', seq: 5, count: 1, unread: 1, tag: 'c', at: message(5).created_at, page: true } },
    ]);
  });

  test('is not announced where its sender is blocked, also since a moment ago', async () => {
    put({ kind: 'group', title: 'Climbers' });
    announcer.hear(message(5, { mentions: [me] }));
    blocks.event({ user_id: you, blocked: true });
    await settled();
    expect(screen.shown).toEqual([]);
    announcer.hear(message(6, { sender_id: 'stranger' }));
    announcer.hear(message(7));
    await settled();
    expect(screen.texts).toEqual(['Climbers: text 6']);
  });

  test('becomes one notification with a count, in a group with who wrote', async () => {
    put({ kind: 'group', title: 'Climbers' });
    for (const seq of [5, 6]) announcer.hear(message(seq));
    await settled();
    expect(screen.texts).toEqual(['Climbers: 2 new messages\nYou: text 6']);
    announcer.hear(message(7, { sender_id: 'stranger' })); // whose name is not known in time
    await settled();
    expect(screen.texts).toEqual(['Climbers: 3 new messages\ntext 7']);
    expect(screen.sounds).toBe(2);
    // What was shown was read, and not closed yet.
    put({ kind: 'group', title: 'Climbers', read_seq: 7 });
    announcer.hear(message(8));
    await settled();
    expect(screen.texts).toEqual(['Climbers: You: text 8']);
  });

  test('is shown without its markup, with the names of those whom it mentions', async () => {
    announcer.hear(message(5, { body: '**Hi** @you, `x*y`\n- C:\\*.txt', mentions: [you] }));
    await settled();
    expect(screen.texts).toEqual(['You: Hi @You, x*y\n- C:\\*.txt']);
  });

  test('says no more than it is to', async () => {
    say(undefined); // not known yet
    announcer.hear(message(5));
    await settled();
    expect(screen.texts).toEqual(['Parley: New message']);
    say('generic');
    announcer.hear(message(6));
    await settled();
    expect(screen.texts).toEqual(['Parley: 2 new messages']);
  });

  test('makes a sound once, however many pages have it, and goes on counting what is shown', async () => {
    const other = make();
    for (const a of [announcer, other]) a.hear(message(5));
    await settled();
    for (const seq of [6, 7]) announcer.hear(message(seq));
    other.hear(message(6));
    await settled();
    expect(screen.texts).toEqual(['You: 3 new messages\ntext 7']);
    expect(screen.sounds).toBe(2);
    other.hear(message(7)); // it is slow
    await settled();
    expect(screen.texts).toEqual(['You: 3 new messages\ntext 7']);
    expect(screen.sounds).toBe(2);
  });

  test('is not shown if it is no news', async () => {
    announcer.knows('c', 5);
    for (const e of [message(5), message(6, { sender_id: me }), message(7, { deleted: true }), action(8, 'edit', 5), message(9, { conversation_id: 'unknown' })]) announcer.hear(e);
    await settled();
    expect(screen.shown).toEqual([]);
    // Closed by who saw it, and brought once more by a sync.
    announcer.hear(message(10));
    await settled();
    screen.shown[0]!.close();
    announcer.hear(message(10));
    await settled();
    expect(screen.shown).toEqual([]);
    expect([9, 10, 11].map((seq) => announcer.did({ conversation_id: 'c', seq }))).toEqual([true, true, false]);
    expect([announcer.did({ conversation_id: 'd', seq: 1 }), announcer.did({})]).toEqual([false, false]);
    // The server was restored: 5 is another message now.
    announcer.clear();
    announcer.hear(message(5));
    await settled();
    expect(screen.shown).toHaveLength(1);
  });

  test('is not shown to who looks by then, has read it, or does not want to be told', async () => {
    const not = async (what: () => void): Promise<void> => {
      announcer = make();
      announcer.hear(message(5));
      what();
      await settled();
      expect(screen.shown).toEqual([]);
      [focused, owner] = [false, me];
      put({});
    };
    await not(() => (focused = true));
    await not(() => put({ read_seq: 5 }));
    await not(() => put({ notify: 'none' }));
    await not(() => put({ notify: 'mentions' }));
    await not(() => (owner = 'somebody else'));
    await not(() => announcer.stop());
    focused = true;
    await not(() => (focused = false)); // it was seen in the list as it came
    owner = null;
    await not(() => {});
    announcer = make();
    put({ notify: 'mentions' });
    announcer.hear(message(5, { mentions: [me] }));
    await settled();
    expect(screen.shown).toHaveLength(1);
  });

  test('is closed at once if it was read, or nobody is here any more, while it was being shown', async () => {
    const { showNotification } = screen;
    for (const meanwhile of [() => put({ read_seq: 5 }), () => announcer.stop()]) {
      announcer = make();
      put({});
      let was = 0;
      screen.showNotification = async (...of) => {
        await showNotification.apply(screen, of);
        was = screen.shown.length;
        meanwhile();
      };
      announcer.hear(message(5));
      await settled();
      expect(was).toBe(1);
      expect(screen.shown).toEqual([]);
    }
  });
});

describe('deletion and edits reach what is shown', () => {
  // Their own seqs lie between those of the messages.
  const erased = (seq: number): void => announcer.hear(action(seq + 0.6, 'delete', seq));
  const edited = (seq: number, body: string): void => announcer.hear(action(seq + 0.3, 'edit', seq, { body }));

  test('what is deleted before it was announced is never shown', async () => {
    announcer.hear(message(5));
    erased(5);
    await settled();
    expect(screen.shown).toEqual([]);
    expect(screen.sounds).toBe(0);
    // Nor is it counted beside others.
    for (const seq of [6, 7]) announcer.hear(message(seq));
    erased(6);
    await settled();
    expect(screen.texts).toEqual(['You: text 7']);
  });

  test('the notification of a deleted message is closed', async () => {
    announcer.hear(message(5));
    await settled();
    erased(5);
    await settled();
    expect(screen.shown).toEqual([]);
    erased(5); // brought once more
    await settled();
    expect(screen.shown).toEqual([]);
  });

  test('of several, the text goes and what is left is shown without a sound', async () => {
    for (const seq of [5, 6, 7]) announcer.hear(message(seq));
    await settled();
    erased(7);
    await settled();
    expect(screen.texts).toEqual(['You: 2 new messages\ntext 6']);
    erased(5); // the count alone
    await settled();
    expect(screen.texts).toEqual(['You: text 6']);
    erased(4); // read long ago
    await settled();
    expect(screen.texts).toEqual(['You: text 6']);
    expect(screen.sounds).toBe(1);
    announcer.hear(message(8));
    await settled();
    expect(screen.texts).toEqual(['You: 2 new messages\ntext 8']);
    expect(screen.sounds).toBe(2);
    for (const seq of [8, 6]) erased(seq);
    await settled();
    expect(screen.shown).toEqual([]);
  });

  test('an edit shows the new text, before and after it was announced, without a sound', async () => {
    announcer.hear(message(5, { body: 'secert' }));
    edited(5, 'secret');
    await settled();
    expect(screen.texts).toEqual(['You: secret']);
    edited(5, 'mended');
    await settled();
    expect(screen.texts).toEqual(['You: mended']);
    expect(screen.sounds).toBe(1);
    announcer.hear(message(6));
    await settled();
    edited(5, 'another'); // not the one whose text is shown
    await settled();
    expect(screen.texts).toEqual(['You: 2 new messages\ntext 6']);
    erased(6);
    await settled();
    expect(screen.texts).toEqual(['You: another']);
    say('generic');
    edited(5, 'hidden');
    await settled();
    expect(screen.texts).toEqual(['You: another']);
  });

  test('also of one that was pushed while no page was open', async () => {
    const push = (o: Partial<Payload>): Promise<void> =>
      screen.showNotification('You', { body: o.body ?? 'pushed', tag: 'c', silent: false, renotify: true, data: { type: 'message', conversation_id: 'c', seq: 5, title: 'You', body: 'pushed', unread: 1, tag: 'c', at: '', ...o } });
    await push({ count: 1 });
    edited(5, 'pushed, edited');
    await settled();
    expect(screen.texts).toEqual(['You: pushed, edited']);
    erased(5);
    await settled();
    expect(screen.shown).toEqual([]);
    await push({ count: 3, body: '3 new messages\npushed' });
    erased(5);
    await settled();
    expect(screen.texts).toEqual(['You: 2 new messages']);
    erased(5);
    await settled();
    expect(screen.texts).toEqual(['You: 2 new messages']);
    // What happened before this page came is told by the list.
    await push({ count: 1 });
    put({ last_message: message(5, { deleted: true, body: undefined }) });
    await announcer.listed();
    expect(screen.shown).toEqual([]);
    await push({ count: 1 });
    put({ last_message: message(5, { body: 'mended', edited_at: '2026-01-01T00:01:00Z' }) });
    await announcer.listed();
    expect(screen.texts).toEqual(['You: mended']);
  });

  test('a deletion that comes while it is being shown', async () => {
    const { showNotification } = screen;
    screen.showNotification = async (...of) => {
      await showNotification.apply(screen, of);
      erased(5);
    };
    announcer.hear(message(5));
    await settled();
    await settled();
    expect(screen.shown).toEqual([]);
  });
});
