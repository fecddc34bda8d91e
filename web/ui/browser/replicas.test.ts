import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { box, complaintsOf, launch, shoot, signedIn, texts, write } from './browser';
import { Front } from './front';
import { Parley } from './parley';
import { admin, api, direct, member, type Account } from './people';

// Two servers on one database, and a proxy that sends people to each in turn. Nobody notices
// which one they are at, nor that one dies.
describe('two replicas', () => {
  let front: Front;
  let keeper: Parley; // has the database, and nobody goes there
  let replicas: [Parley, Parley];
  let browser: Browser;
  let ada: Account;
  let ben: Account;
  let id = '';
  let a: Page;
  let b: Page;

  beforeAll(async () => {
    [front, keeper, browser] = await Promise.all([Front.listen(), Parley.start(), launch()]);
    const env = { DATABASE_URL: await keeper.databaseURL(), PARLEY_BASE_URL: front.url };
    replicas = [await Parley.start({ env }), await Parley.start({ env })];
    front.to(replicas[0].url, replicas[1].url);
    ada = await admin(keeper, 'Ada Lovelace');
    ben = await member(keeper, ada, 'Ben Okri');
    id = await direct(front, ada, ben);
    a = await signedIn(browser, front, ada);
    b = await signedIn(browser, front, ben);
    await a.goto(`${front.url}/c/${id}`);
    await box(a, 'Ben Okri').waitFor();
    await b.goto(`${front.url}/c/${id}`);
    await box(b, 'Ada Lovelace').waitFor();
    for (const p of [a, b]) await p.evaluate(() => Object.assign(window, { loadedOnce: true }));
  });

  afterAll(async () => {
    for (const p of [a, b]) expect(complaintsOf(p.context())).toEqual([]);
    await browser?.close();
    await front?.close();
    for (const r of replicas ?? []) await r.remove();
    await keeper?.remove();
  });

  const inLog = (p: Page, text: string) => p.getByRole('log').getByText(new RegExp(`^${text}\\s*\\d+:\\d\\d`));
  const ticked = (p: Page, text: string, state: string) =>
    p.getByRole('article').filter({ hasText: text }).getByRole('img', { name: state, exact: true }).waitFor();
  const inList = (p: Page, name: RegExp) => p.getByRole('navigation').getByRole('link', { name });
  const reloaded = async (p: Page): Promise<boolean> => !(await p.evaluate(() => 'loadedOnce' in window));

  test('two people at different ones talk, see each other write, read and be here', async () => {
    // The last sockets of each, in the order in which they opened the conversation.
    expect(front.sockets.at(-1)).not.toBe(front.sockets.at(-2));
    await a.locator('main header').getByText('online').waitFor();
    await write(a, 'Ben Okri', 'Where are you?');
    await inLog(b, 'Where are you\\?').waitFor();
    await ticked(a, 'Where are you?', 'Read');
    await box(b, 'Ada Lovelace').pressSequentially('At the other one', { delay: 20 });
    await a.getByText(/typing/).first().waitFor();
    await box(b, 'Ada Lovelace').press('Enter');
    await inLog(a, 'At the other one').waitFor();
    await ticked(b, 'At the other one', 'Read');
    await shoot(a, 'replicas-light');
  });

  test('a group that is made at one is there at the other, and so is a new name, and a removal', async () => {
    const group = await api<{ id: string }>(front, ada.token, 'POST', 'conversations', { kind: 'group', title: 'Climbers', member_ids: [ben.id] });
    await inList(b, /Climbers/).waitFor();
    await api(front, ben.token, 'PATCH', 'me', { display_name: 'Benjamin Okri' });
    await inList(a, /Benjamin Okri/).waitFor();
    await box(a, 'Benjamin Okri').waitFor();
    await api(front, ben.token, 'PATCH', 'me', { display_name: 'Ben Okri' });
    await box(a, 'Ben Okri').waitFor();
    await inList(b, /Climbers/).click();
    await box(b, 'Climbers').waitFor();
    await api(front, ada.token, 'DELETE', `conversations/${group.id}/members/${ben.id}`);
    await box(b, 'Climbers').waitFor({ state: 'detached' });
    await inList(b, /Ada Lovelace/).click();
    await box(b, 'Ada Lovelace').waitFor();
  });

  test('one is killed, and both go on without a reload', async () => {
    const doomed = front.sockets.at(-2)!;
    await replicas[doomed]!.down('SIGKILL');
    const said = ['one', 'two', 'three'].flatMap((n) => [`Ada says ${n}`, `Ben says ${n}`]);
    for (const n of ['one', 'two', 'three']) {
      await write(a, 'Ben Okri', `Ada says ${n}`);
      await write(b, 'Ada Lovelace', `Ben says ${n}`);
    }
    for (const p of [a, b]) await expect.poll(async () => (await texts(p)).filter((t) => / says /.test(t)).sort()).toEqual([...said].sort());
    expect(await texts(a)).toEqual(await texts(b));
    await ticked(a, 'Ada says three', 'Read');
    expect(front.sockets.at(-1)).toBe(1 - doomed);

    // And the other way round, kindly.
    await replicas[doomed]!.up();
    await replicas[1 - doomed]!.down('SIGTERM');
    await write(a, 'Ben Okri', 'Still here');
    await inLog(b, 'Still here').waitFor();
    await write(b, 'Ada Lovelace', 'So am I');
    await inLog(a, 'So am I').waitFor();
    expect(await texts(a)).toEqual(await texts(b));
    expect(front.sockets.slice(-2)).toEqual([doomed, doomed]);
    for (const p of [a, b]) expect(await reloaded(p)).toBe(false);
    await replicas[1 - doomed]!.up();
  });

  test('a session that is ended at one is over at the other', async () => {
    const { sessions } = await api<{ sessions: { id: string; current: boolean }[] }>(keeper, ben.token, 'GET', 'sessions');
    for (const s of sessions.filter((s) => !s.current)) await api(keeper, ben.token, 'DELETE', `sessions/${s.id}`);
    await b.getByRole('button', { name: 'Sign in' }).waitFor();
  });

  test('none of them had anything to complain about', () => {
    for (const s of [keeper, ...replicas]) expect(s.log.split('\n').filter((l) => /"level":"(WARN|ERROR)"/.test(l) && !l.includes('rate limits are off'))).toEqual([]);
  });
});
