import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { adoptAnswers, Drafts, draftsPrefix, type Draft, type DraftSent, type DraftStorage } from '../src/lib/state/drafts.svelte';
import { Composing } from '../src/lib/state/composing.svelte';
import { quoteOf } from '../src/lib/state/fold';
import { message } from './make';

class FakeStorage implements DraftStorage {
  items = new Map<string, string>();
  /** Is told of what changes, as the other tabs are. */
  onchange: (key: string, value: string | null) => void = () => {};
  get length(): number {
    return this.items.size;
  }
  key = (i: number): string | null => [...this.items.keys()][i] ?? null;
  getItem = (k: string): string | null => this.items.get(k) ?? null;
  setItem = (k: string, v: string): void => {
    if (this.items.get(k) === v) return;
    this.items.set(k, v);
    this.onchange(k, v);
  };
  removeItem = (k: string): void => {
    if (this.items.delete(k)) this.onchange(k, null);
  };
}

/** A browser: a storage that tabs share, and what passes between them once `settle` lets it. */
class FakeBrowser {
  items = new Map<string, string>();
  tabs: Tab[] = [];
  mail: (() => void)[] = [];

  tab(session = new FakeStorage()): Tab {
    const tab = new Tab(this, session);
    this.tabs.push(tab);
    return tab;
  }

  others(from: Tab, f: (tab: Tab) => void): void {
    for (const tab of this.tabs) if (tab !== from) this.mail.push(() => tab.closed || f(tab));
  }

  /** Typing pauses everywhere, and all tabs get what the others did. */
  settle(): void {
    for (const tab of this.tabs) tab.closed || tab.drafts.flush();
    while (this.mail.length > 0) this.mail.shift()!();
  }

  /** The drafts that are stored. */
  get stored(): string[] {
    return [...this.items].filter(([key]) => !key.endsWith('!')).map(([, value]) => value).sort();
  }
}

/** A tab that shows conversation c. */
class Tab {
  drafts: Drafts;
  focused = false;
  closed = false;

  constructor(private browser: FakeBrowser, public session: FakeStorage) {
    const local = new FakeStorage();
    local.items = browser.items;
    local.onchange = (key, newValue) => browser.others(this, (tab) => tab.drafts.changed({ key, newValue }));
    this.drafts = new Drafts('d:', {
      local,
      session,
      focused: () => this.focused,
      announce: (sent: DraftSent) => browser.others(this, (tab) => tab.drafts.sentElsewhere(sent)),
    });
    this.drafts.open('c');
  }

  get text(): string {
    return this.drafts.get('c').text;
  }

  type(text: string): void {
    this.drafts.change('c', { text });
  }

  async send(): Promise<string> {
    const { text } = this;
    await this.drafts.sent('c', Promise.resolve(true));
    return text;
  }

  close(): void {
    this.drafts.flush();
    this.closed = true;
  }

  reload(): Tab {
    this.close();
    return this.browser.tab(this.session);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('drafts', () => {
  const on = (local: DraftStorage | null): Drafts => new Drafts('d:', { local });
  const text = (drafts: Drafts, id: string): string => drafts.get(id).text;

  test('survive a reload, by conversation', () => {
    const s = new FakeStorage();
    const before = on(s);
    before.change('a', { text: 'to a' });
    before.change('b', { text: '{"text":"braces"}' });
    vi.advanceTimersByTime(300);
    const after = on(s);
    expect(text(after, 'a')).toBe('to a');
    expect(text(after, 'b')).toBe('{"text":"braces"}');
    expect(text(after, 'c')).toBe('');
    expect(text(new Drafts('somebody else', { local: s }), 'a')).toBe('');
  });

  test('are written when typing pauses or the page goes', () => {
    const s = new FakeStorage();
    const drafts = on(s);
    drafts.change('a', { text: 't' });
    vi.advanceTimersByTime(200);
    drafts.change('a', { text: 'ty' });
    vi.advanceTimersByTime(200);
    expect(s.items.size).toBe(0);
    drafts.flush();
    expect(Object.fromEntries(s.items)).toEqual({ 'd:a': 'ty' });
  });

  test('leave nothing behind once sent or cleared', () => {
    const s = new FakeStorage();
    const session = new FakeStorage();
    const drafts = new Drafts('d:', { local: s, session });
    drafts.change('a', { text: 'x' });
    drafts.change('a', { text: '  ' });
    drafts.flush();
    expect(s.items.size + session.items.size).toBe(0);
    drafts.change('a', { text: 'secret' });
    drafts.flush();
    drafts.change('b', { text: 'secret, not written yet' });
    drafts.clear();
    drafts.flush();
    expect(JSON.stringify([...s.items, ...session.items])).not.toContain('secret');
    expect(text(drafts, 'a')).toBe('');
  });

  test('emptied right before looking away stay empty', () => {
    const drafts = on(new FakeStorage());
    drafts.open('a');
    drafts.change('a', { text: 'gone' });
    drafts.flush();
    drafts.change('a', { text: '' });
    drafts.close('a');
    drafts.open('a');
    expect(text(drafts, 'a')).toBe('');
  });

  test('stay stored until the outbox has them, whatever flushes meanwhile', async () => {
    const s = new FakeStorage();
    const drafts = on(s);
    drafts.change('a', { text: 'typed and sent in a moment' });
    let keep = (_: boolean): void => {};
    const sent = drafts.sent('a', new Promise((resolve) => (keep = resolve)));
    expect(text(drafts, 'a')).toBe('');
    drafts.flush();
    vi.advanceTimersByTime(300);
    expect(text(on(s), 'a')).toBe('typed and sent in a moment');
    keep(true);
    await sent;
    expect(s.items.size).toBe(0);

    // The device could not keep it: the text is there again after a reload.
    drafts.change('a', { text: 'second' });
    await drafts.sent('a', Promise.resolve(false));
    drafts.flush();
    expect(text(on(s), 'a')).toBe('second');
    drafts.change('a', { text: 'third' });
    drafts.change('a', { text: '' });
    drafts.flush();
    expect(s.items.size).toBe(0);
  });

  test('sent one after the other wait each for its own', async () => {
    const s = new FakeStorage();
    const drafts = on(s);
    drafts.change('a', { text: 'first' });
    let keep = (_: boolean): void => {};
    const first = drafts.sent('a', new Promise((resolve) => (keep = resolve)));
    drafts.change('a', { text: 'second' });
    void drafts.sent('a', new Promise(() => {}));
    keep(true);
    await first;
    expect(text(on(s), 'a')).toBe('second');
  });

  test('do without storage', () => {
    const drafts = on(null);
    drafts.open('a');
    drafts.change('a', { text: 'x' });
    drafts.flush();
    expect(text(drafts, 'a')).toBe('x');
    drafts.change('a', { text: '' });
    drafts.close('a');
    expect(text(drafts, 'a')).toBe('');
  });

  test('of older pages are taken over, with what they reply to', () => {
    const s = new FakeStorage();
    const prefix = 'http://test/';
    vi.stubGlobal('document', { baseURI: prefix });
    const me = draftsPrefix('me');
    s.setItem(`${me}a`, 'half a reply');
    s.setItem(me.replace('draft:', 'answer:') + 'a', JSON.stringify(quoteOf(message(4))));
    adoptAnswers('me', s);
    const drafts = new Drafts(me, { local: s });
    expect(drafts.get('a')).toEqual<Draft>({ text: 'half a reply', answering: quoteOf(message(4)) });
    expect([...s.items.keys()]).toEqual([`${me}a`]);
    vi.unstubAllGlobals();
  });
});

describe('drafts of two tabs', () => {
  let browser: FakeBrowser;
  beforeEach(() => {
    browser = new FakeBrowser();
  });

  test('what is sent in one is gone in the other, which showed the same', async () => {
    const one = browser.tab();
    one.type('only once');
    browser.settle();
    const two = browser.tab();
    expect(two.text).toBe('only once');
    await one.send();
    browser.settle();
    expect(two.text).toBe('');
    expect(browser.stored).toEqual([]);
  });

  test('what is sent in one is gone in the other, which the same was typed into', async () => {
    const [one, two] = [browser.tab(), browser.tab()];
    one.type('the same');
    two.type('the same ');
    browser.settle();
    await two.send();
    browser.settle();
    expect(one.text).toBe('');
    expect(browser.stored).toEqual([]);
  });

  test('a tab with the focus that only shows a draft loses it when more of it is sent elsewhere', async () => {
    const one = browser.tab();
    one.type('half');
    browser.settle();
    const two = browser.tab();
    two.focused = true;
    one.type('half and half');
    browser.settle();
    expect(two.text).toBe('half'); // not replaced under the eyes of the user
    await one.send();
    browser.settle();
    expect(two.text).toBe('');
  });

  test.each([
    ['typed at the same time', false],
    ['typed one after the other', true],
  ])('two different drafts are both kept, %s: in their tabs, over a reload, and when one is sent', async (_, pause) => {
    let [one, two] = [browser.tab(), browser.tab()];
    one.type('the first draft');
    if (pause) browser.settle();
    two.type('another draft');
    browser.settle();
    expect([one.text, two.text]).toEqual(['the first draft', 'another draft']);
    expect(browser.stored).toEqual(['another draft', 'the first draft']);
    one = one.reload();
    two = two.reload();
    browser.settle();
    expect([one.text, two.text]).toEqual(['the first draft', 'another draft']);
    await two.send();
    browser.settle();
    expect([one.text, two.text]).toEqual(['the first draft', '']);
    expect(browser.stored).toEqual(['the first draft']);
  });

  test('a tab that is reloaded while another one writes over its draft keeps its own', () => {
    const one = browser.tab();
    one.type('mine');
    browser.settle();
    const two = browser.tab();
    two.type('replaced');
    two.drafts.flush();
    const again = one.reload(); // before it got to know
    browser.settle();
    expect([again.text, two.text]).toEqual(['mine', 'replaced']);
    expect(browser.stored).toEqual(['mine', 'replaced']);
  });

  test('of two drafts whose tabs are closed, one is shown after the other', async () => {
    const [one, two] = [browser.tab(), browser.tab()];
    one.type('one');
    two.type('two');
    browser.settle();
    one.close();
    two.close();
    const three = browser.tab();
    const first = await three.send();
    browser.settle();
    expect(three.text).toBe(''); // not at once: it was just sent
    expect(three.drafts.preview('c')).toBe('');
    three.drafts.close('c');
    expect(three.drafts.preview('c')).not.toBe('');
    three.drafts.open('c');
    expect([first, three.text].sort()).toEqual(['one', 'two']);
    await three.send();
    browser.settle();
    expect(browser.stored).toEqual([]);
  });

  test('one draft goes on in another tab, and is one draft', async () => {
    const [one, two] = [browser.tab(), browser.tab()];
    one.type('hello');
    browser.settle();
    expect(two.text).toBe('hello');
    two.type('hello world');
    browser.settle();
    expect(one.text).toBe('hello world');
    await two.send();
    browser.settle();
    expect(one.text).toBe('');
    expect(browser.stored).toEqual([]);
  });

  test('what one deletes is not taken from the other, where it was typed', () => {
    const [one, two] = [browser.tab(), browser.tab()];
    one.type('keep me');
    browser.settle();
    two.focused = true;
    two.type('');
    browser.settle();
    expect(one.text).toBe('keep me');
    expect(one.reload().text).toBe('keep me');
    expect(two.text).toBe('');
  });

  test('typing while a message is being stored is kept', async () => {
    const one = browser.tab();
    one.type('first');
    const sending = one.send();
    one.type('second');
    await sending;
    browser.settle();
    expect(browser.stored).toEqual(['second']);
  });

  test('what a draft replies to goes with it, and not with another one', () => {
    const [one, two] = [browser.tab(), browser.tab()];
    two.type('not a reply');
    new Composing(one.drafts).answer('c', quoteOf(message(4)));
    browser.settle();
    expect(new Composing(two.drafts).answering('c')).toBe(null);
    expect(new Composing(one.drafts).answering('c')).toEqual(quoteOf(message(4)));
  });

  test('signing out in one leaves nothing of the other, even if it writes a moment later', () => {
    const [one, two] = [browser.tab(), browser.tab()];
    one.type('secret one');
    two.type('secret two');
    browser.settle();
    two.type('secret two, and more');
    one.drafts.clear();
    two.drafts.flush();
    browser.settle();
    two.reload();
    browser.settle();
    expect(JSON.stringify([...browser.items, ...one.session.items, ...two.session.items])).not.toContain('secret');
  });

  test('a tab that slept while the user signed out shows nothing afterwards', () => {
    const one = browser.tab();
    one.type('secret');
    browser.settle();
    const two = browser.tab();
    one.closed = true;
    two.drafts.clear();
    expect(browser.tab(one.session).text).toBe('');
    expect(one.session.items.size).toBe(0);
  });
});

describe('what a composer is at', () => {
  const pages = (): { page: () => Composing; drafts: () => Drafts } => {
    const [local, session] = [new FakeStorage(), new FakeStorage()];
    const drafts = (): Drafts => new Drafts('d:', { local, session });
    return { drafts, page: () => new Composing(drafts()) };
  };

  test('an answer is kept over a reload, by conversation', () => {
    const { drafts, page } = pages();
    const first = drafts();
    new Composing(first).answer('c', quoteOf(message(4)));
    first.flush();
    const after = page();
    expect(after.answering('c')).toEqual(quoteOf(message(4)));
    expect(after.answering('d')).toBe(null);
  });

  test('an answer is kept until the outbox has it, with the draft', async () => {
    const { drafts, page } = pages();
    const before = drafts();
    before.change('c', { text: 'yes' });
    new Composing(before).answer('c', quoteOf(message(4)));
    let keep = (_kept: boolean): void => {};
    const done = before.sent('c', new Promise((resolve) => (keep = resolve)));
    before.flush(); // the page is hidden, and perhaps gone
    expect(new Composing(before).answering('c')).toBe(null);
    expect(page().answering('c')).toEqual(quoteOf(message(4)));
    keep(true);
    await done;
    expect(page().answering('c')).toBe(null);
  });

  test('a half-finished edit is kept over a reload, beside the draft, and marked in the list', () => {
    const { drafts } = pages();
    const before = drafts();
    before.change('c', { text: 'a draft' });
    const composing = new Composing(before);
    composing.edit(message(4));
    expect(before.preview('c')).toBe('a draft'); // nothing is changed yet
    composing.amend('c', { text: 'text 4, better' });
    composing.amend('c', { busy: true, tried: { client_id: 'x', body: 'text 4, better', mentions: [] } });
    before.flush();

    const after = drafts();
    const again = new Composing(after);
    expect(again.editing('c')).toEqual({
      message: message(4),
      text: 'text 4, better',
      tried: { client_id: 'x', body: 'text 4, better', mentions: [] },
      busy: false,
      error: null,
    });
    expect(after.preview('c')).toBe('text 4, better');
    again.stopEditing('c');
    expect(after.get('c').text).toBe('a draft');
    after.flush();
    expect(new Composing(drafts()).editing('c')).toBe(null);
  });

  test('an edit keeps its text while it is tried, and is gone when it is given up', () => {
    const composing = new Composing(new Drafts('a:', { local: null }));
    composing.edit(message(4));
    expect(composing.editing('c')).toMatchObject({ text: 'text 4', busy: false, error: null });
    composing.amend('c', { text: 'better', busy: true });
    expect(composing.editing('c')).toMatchObject({ text: 'better', busy: true, message: { seq: 4 } });
    composing.stopEditing('c');
    composing.amend('c', { busy: false });
    expect(composing.editing('c')).toBe(null);
  });
});

describe('drafts for a person with whom there is no conversation yet', () => {
  const started = (local: FakeStorage | null, o: { session?: FakeStorage } = {}): Drafts => new Drafts('d:', { local, ...o });

  test('go on in the conversation, also those of pages that were closed', () => {
    const s = new FakeStorage();
    s.items = new Map([['d:to-ben', 'hello'], ['d:to-ben:2', 'another tab’s'], ['d:to-benedicta', 'hers']]);
    const drafts = started(s);
    drafts.move('to-ben', 'c');
    expect([...s.items.values()].sort()).toEqual(['another tab’s', 'hello', 'hers']);
    expect([...s.items.keys()].filter((key) => key.startsWith('d:to-'))).toEqual(['d:to-benedicta']);
    expect(drafts.get('c').text).toBe('hello');
    expect(drafts.preview('to-ben')).toBe('');
    expect(drafts.ids().sort()).toEqual(['c', 'to-benedicta']);
  });

  test('stay in the composer of the tab they are typed in, beside another draft that the conversation has', () => {
    const s = new FakeStorage();
    s.items.set('d:c', 'older');
    const session = new FakeStorage();
    const drafts = started(s, { session });
    drafts.open('to-ben');
    drafts.change('to-ben', { text: 'being typed' });
    drafts.move('to-ben', 'c');
    drafts.open('c');
    expect(drafts.get('c').text).toBe('being typed');
    expect([...s.items.values()].sort()).toEqual(['being typed', 'older']);
    expect(started(s, { session }).get('c').text).toBe('being typed'); // after a reload
  });

  test('appear in the empty composer of the conversation', () => {
    const s = new FakeStorage();
    s.items.set('d:to-ben', 'hello');
    const drafts = started(s);
    drafts.open('c');
    drafts.move('to-ben', 'c');
    expect(drafts.get('c').text).toBe('hello');
  });

  test('are moved once by two tabs', () => {
    const s = new FakeStorage();
    s.items.set('d:to-ben', 'hello');
    const [one, two] = [started(s), started(s)];
    one.move('to-ben', 'c');
    s.onchange = () => {};
    two.changed({ key: 'd:c', newValue: 'hello' });
    two.move('to-ben', 'c');
    expect([...s.items]).toEqual([['d:c', 'hello']]);
  });

  test('are not moved while they are being sent', async () => {
    const s = new FakeStorage();
    const drafts = started(s);
    drafts.open('to-ben');
    drafts.change('to-ben', { text: 'hello' });
    let keep!: (kept: boolean) => void;
    const sent = drafts.sent('to-ben', new Promise<boolean>((resolve) => (keep = resolve)));
    drafts.move('to-ben', 'c');
    expect(drafts.get('c').text).toBe('');
    keep(true);
    await sent;
    expect(s.items.size).toBe(0);
  });
});
