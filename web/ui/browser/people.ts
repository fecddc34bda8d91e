import type { Page } from 'playwright-core';
import type { Parley } from './parley';

// People who use the API directly, to set a stage quickly.

export interface Account {
  id: string;
  username: string;
  display_name: string;
  password: string;
  token: string;
}

export async function api<T>(parley: Pick<Parley, 'url'>, token: string, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(`${parley.url}/api/v1/${path}`, {
    method,
    headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return (text ? JSON.parse(text) : undefined) as T;
}

const account = (person: Omit<Account, 'id' | 'token'>, signedIn: { token: string; user: { id: string } }): Account => ({
  ...person,
  id: signedIn.user.id,
  token: signedIn.token,
});

const person = (display_name: string): Omit<Account, 'id' | 'token'> => ({
  username: display_name.toLowerCase().replace(/[^a-z0-9]+/g, '.').slice(0, 32),
  display_name,
  password: 'correct horse battery',
});

/** The first admin. */
export async function admin(parley: Parley, name: string): Promise<Account> {
  const p = person(name);
  const token = parley.setupLink.split('#')[1];
  return account(p, await api(parley, '', 'POST', 'setup', { token, ...p }));
}

/** One more person, invited by the admin. */
export async function member(parley: Pick<Parley, 'url'>, by: Account, name: string): Promise<Account> {
  const p = person(name);
  const { code } = await api<{ code: string }>(parley, by.token, 'POST', 'invites', { max_uses: 1 });
  return account(p, await api(parley, '', 'POST', 'users', { invite: code, ...p }));
}

export async function direct(parley: Pick<Parley, 'url'>, from: Account, to: Account): Promise<string> {
  return (await api<{ id: string }>(parley, from.token, 'POST', 'conversations', { kind: 'direct', user_id: to.id })).id;
}

interface Frame {
  type: string;
  id?: string;
  error?: { code: string; detail: string };
}

/**
 * Sends many messages over one socket, in order, without waiting for each answer. The
 * socket is that of a page of Parley without a session: Node 20 has none of its own.
 */
export async function say(page: Page, from: Account, conversation_id: string, bodies: string[]): Promise<void> {
  await page.evaluate(
    async ({ token, conversation_id, bodies }) => {
      const ws = new WebSocket(new URL('api/v1/socket', document.baseURI).href.replace(/^http/, 'ws'), 'parley.v1');
      let answered = 0;
      let sent = 0;
      await new Promise<void>((resolve, reject) => {
        const send = (type: string, id: string, data: unknown): void => ws.send(JSON.stringify({ type, id, data }));
        const more = (): void => {
          for (; sent < bodies.length && sent - answered < 256; sent++) {
            send('message.send', String(sent), { conversation_id, client_id: crypto.randomUUID(), body: bodies[sent] });
          }
        };
        ws.onopen = () => send('auth', 'auth', { token });
        ws.onclose = (e) => reject(new Error(`the socket closed: ${e.code} ${e.reason}`));
        ws.onmessage = (e) => {
          const frame = JSON.parse(String(e.data)) as Frame;
          if (frame.type === 'error') reject(new Error(`${frame.error?.code}: ${frame.error?.detail}`));
          if (frame.type === 'hello') more();
          if (frame.type !== 'reply' || frame.id === 'auth') return;
          if (++answered === bodies.length) resolve();
          else more();
        };
      });
      ws.onclose = null;
      ws.close();
    },
    { token: from.token, conversation_id, bodies },
  );
}
