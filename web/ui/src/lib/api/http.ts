import { urlOf } from '../base';
import { noteServerDate } from '../clock';
import { ApiError, toApiError } from './errors';
import type { Conversation, Device, Entries, Invite, Member, MemberRole, Notify, Page, Profile, Reached, Session, SignupMode, Tested, User } from './types';

/** No answer within this many milliseconds counts as no connection. */
const timeout = 20_000;

let onUnauthenticated = (): void => {};

/** Is told when an answer says that the session is over. */
export function whenUnauthenticated(f: () => void): void {
  onUnauthenticated = f;
}

let onConfirmation = async (): Promise<boolean> => false;

/** Gets the password from the user when a change needs it again, and says whether it was right. */
export function whenConfirmationNeeded(f: () => Promise<boolean>): void {
  onConfirmation = f;
}

/** Answers that were asked for before anybody wanted them, by path. */
const early = new Map<string, Promise<unknown>>();

/** Asks now for what a page is going to need; the first who wants it gets the answer. */
function prefetch(path: string): void {
  const answer = call('GET', path, undefined, { quiet401: true });
  answer.catch(() => {}); // who wants it asks again
  early.set(path, answer);
  setTimeout(() => early.delete(path), timeout);
}

export async function call<T>(method: string, path: string, body?: unknown, opts: { quiet401?: boolean } = {}): Promise<T> {
  const waiting = method === 'GET' ? early.get(path) : undefined;
  if (waiting) {
    early.delete(path);
    try {
      return (await waiting) as T;
    } catch {
      // From before it was known who asks, or whether the server is there: no answer for now.
    }
  }
  if (method !== 'GET') early.clear(); // it may change what was asked for, or who asks
  let answer: Response;
  let json: unknown;
  try {
    answer = await fetch(urlOf(`api/v1/${path}`), {
      method,
      credentials: 'same-origin',
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(timeout),
    });
    noteServerDate(answer.headers.get('Date'));
    const text = await answer.text();
    try {
      json = text === '' ? undefined : JSON.parse(text);
    } catch {
      json = undefined; // a proxy's page; the status says enough
    }
  } catch {
    throw new ApiError('offline');
  }
  if (!answer.ok) {
    const err = toApiError(json, answer.status, Number(answer.headers.get('Retry-After')) || 0);
    if (err.code === 'unauthenticated' && !opts.quiet401) onUnauthenticated();
    if (err.code === 'confirmation_required' && (await onConfirmation())) return call(method, path, body, opts);
    throw err;
  }
  if (json === undefined && answer.status !== 204 && method === 'GET') throw new ApiError('internal');
  return json as T;
}

const query = (params: Record<string, string | number | undefined>): string => {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== undefined) q.set(k, String(v));
  return q.size ? `?${q}` : '';
};

const listPath = (limit: number): string => `conversations${query({ limit })}`;
const pagePath = (id: string, bound: Bound, limit: number): string => `conversations/${id}/messages${query({ ...bound, limit })}`;

/** Asks for the list, and for the newest page of a conversation or the one around a seq, before who asks is known. */
export function prefetchFor(id: string | undefined, around: number | undefined, list: number, page: number): void {
  prefetch(listPath(list));
  prefetch('blocks');
  if (id) prefetch(pagePath(id, around ? { around } : {}, page));
}

export interface Person {
  username: string;
  display_name: string;
  password: string;
}

/** Which page of a conversation; without a bound, the newest. */
export interface Bound {
  before?: number;
  after?: number;
  around?: number;
}

/** What an owner, or for the title an admin, may change of a group. */
export interface GroupChange {
  title?: string;
  share_history?: boolean;
}

/** How one wants to be told of a conversation. */
export interface NotifyChange {
  notify?: Notify;
  /** null: no longer. */
  muted_until?: string | null;
  /** For so many seconds from now, by the server's clock. */
  mute_for_s?: number;
}

/** What one may change of oneself. */
export type ProfileChange = Partial<Omit<Profile, keyof User | 'may_invite' | 'account_deletion'>> & { display_name?: string };

/** All members of a conversation, page by page. */
async function members(id: string): Promise<Member[]> {
  const all: Member[] = [];
  let cursor: string | undefined;
  do {
    const page = await call<{ members: Member[]; next_cursor?: string }>('GET', `conversations/${id}/members${query({ cursor })}`);
    all.push(...page.members);
    cursor = page.next_cursor || undefined;
  } while (cursor);
  return all;
}

// Calls that are made without a session must not end one.
const anonymous = { quiet401: true };

export const http = {
  me: () => call<Profile>('GET', 'me', undefined, anonymous),
  changeMe: (change: ProfileChange) => call<Profile>('PATCH', 'me', change),
  changePassword: (current: string, next: string) =>
    call<void>('PUT', 'me/password', { current, new: next }, anonymous),

  setUp: (token: string, p: Person) => call<{ user: User }>('POST', 'setup', { token, ...p }, anonymous),
  signIn: (username: string, password: string) =>
    call<{ user: User }>('POST', 'sessions', { username, password }, anonymous),
  signupMode: async () => (await call<{ signup: SignupMode }>('GET', 'signup', undefined, anonymous)).signup,
  /** The invite is needed unless anybody can sign up. */
  signUp: (invite: string | undefined, p: Person) => call<{ user: User }>('POST', 'users', { invite, ...p }, anonymous),
  /** Does an invitation still work? */
  checkInvite: async (invite: string) => (await call<{ valid: boolean }>('POST', 'invites/check', { invite }, anonymous)).valid,
  signOut: () => call<void>('DELETE', 'sessions/current', undefined, anonymous),
  sessions: async () => (await call<{ sessions: Session[] }>('GET', 'sessions')).sessions,
  endOtherSessions: () => call<void>('DELETE', 'sessions'),
  /** Checks the password again, for sensitive changes. */
  confirm: (password: string) => call<void>('POST', 'sessions/current/confirmation', { password }),
  deleteMe: (password: string, messages: 'keep' | 'erase') => call<void>('DELETE', 'me', { password, messages }),
  endSession: (id: string) => call<void>('DELETE', `sessions/${id}`),

  pushKey: async () => (await call<{ vapid_public_key: string }>('GET', 'push')).vapid_public_key,
  addDevice: (subscription: PushSubscriptionJSON) => call<Device>('POST', 'devices', { kind: 'webpush', subscription }),
  devices: async () => (await call<{ devices: Device[] }>('GET', 'devices')).devices,
  removeDevice: (id: string) => call<void>('DELETE', `devices/${id}`),
  testDevice: (id: string) => call<Tested>('POST', `devices/${id}/test`),

  invite: (expires_in_s: number, max_uses: number) => call<Invite>('POST', 'invites', { expires_in_s, max_uses }),
  people: async (text: string, limit: number) =>
    (await call<{ users: User[] }>('GET', `users${query({ query: text || undefined, limit })}`)).users,
  peopleById: async (ids: string[]) => (await call<{ users: User[] }>('GET', `users${query({ ids: ids.join() })}`)).users,

  conversations: async (limit: number) =>
    (await call<{ conversations: Conversation[] }>('GET', listPath(limit))).conversations,
  conversation: (id: string) => call<Conversation>('GET', `conversations/${id}`),
  /** A group that the user left or was removed from. */
  former: (id: string) => call<Conversation>('GET', `conversations/${id}?former=true`),
  formers: (cursor?: string) =>
    call<{ conversations: Conversation[]; next_cursor?: string }>('GET', `conversations${query({ former: 'true', cursor })}`),
  openDirect: (user_id: string) => call<Conversation>('POST', 'conversations', { kind: 'direct', user_id }),
  /** With the same client_id, title and members the same group, however often. */
  createGroup: (client_id: string, title: string, member_ids: string[]) =>
    call<Conversation>('POST', 'conversations', { kind: 'group', client_id, title, member_ids }),
  patchConversation: (id: string, change: GroupChange) => call<Conversation>('PATCH', `conversations/${id}`, change),
  changeNotify: (id: string, change: NotifyChange) => call<Conversation>('PATCH', `conversations/${id}/settings`, change),
  archive: (id: string, archived: boolean) => call<Conversation>('PATCH', `conversations/${id}/settings`, { archived }),
  accept: (id: string) => call<void>('PUT', `conversations/${id}/acceptance`),

  blocks: async () => (await call<{ users: User[] }>('GET', 'blocks')).users,
  block: (user_id: string) => call<void>('PUT', `users/${user_id}/block`),
  unblock: (user_id: string) => call<void>('DELETE', `users/${user_id}/block`),

  members,
  addMembers: async (id: string, user_ids: string[]) =>
    (await call<{ members: Member[] }>('POST', `conversations/${id}/members`, { user_ids })).members,
  setRole: (id: string, user_id: string, role: MemberRole) =>
    call<Member>('PATCH', `conversations/${id}/members/${user_id}`, { role }),
  removeMember: (id: string, user_id: string) => call<void>('DELETE', `conversations/${id}/members/${user_id}`),
  messages: (id: string, bound: Bound, limit: number) =>
    call<Page>('GET', pagePath(id, bound, limit)),
  reached: async (id: string, seq: number) =>
    (await call<{ members: Reached[] }>('GET', `conversations/${id}/messages/${seq}/receipts`)).members,
  entries: (id: string, after: number, limit: number) =>
    call<Entries>('GET', `conversations/${id}/entries${query({ after, limit })}`),
};
