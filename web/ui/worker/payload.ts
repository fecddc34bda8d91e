// What the server pushes, and what is shown of it (docs/PROTOCOL.md, Notifications).

export interface Payload {
  type: string;
  conversation_id?: string;
  /** The last message that it speaks of. */
  seq?: number;
  title: string;
  body: string;
  /** How many messages it speaks of. */
  count?: number;
  /** Unread messages in all conversations that one wants to be told of. */
  unread: number;
  /** One notification a tag. */
  tag: string;
  /** Conversations that were read since: what is shown of them is closed. */
  read?: string[];
  at: string;
  /** A page shows it by itself, and knows what was read of it. */
  page?: boolean;
  /** The seqs of the messages that a page counted. */
  seqs?: number[];
  /** The message whose text is shown, where it is not the last one; 0: none. */
  of?: number;
}

/** In the server's words for what says no more. */
const unknown: Payload = { type: 'message', title: 'Parley', body: 'New message', unread: 0, tag: 'unknown', at: '' };

/**
 * Reads what was pushed. What cannot be read is shown as something new all the same:
 * browsers take the subscription away from who shows nothing.
 */
export function payloadOf(text: string | undefined): Payload {
  try {
    const read: unknown = JSON.parse(text ?? '');
    if (typeof read === 'object' && read !== null) return { ...unknown, ...read };
  } catch {
    // Not from this server, or from one of another time.
  }
  return unknown;
}

/** Where a click leads, below Parley. */
export const placeOf = (p: Payload | null | undefined): string =>
  p?.conversation_id ? `c/${p.conversation_id}` : p?.type === 'test' ? 'settings' : '';

/** What is to be shown, and whether it is announced again or takes the place of what there was without a sound. */
export interface Showing {
  payload: Payload;
  again: boolean;
}

/**
 * What to show: p, given what is shown under its tag already. Pushes come at least once, and
 * not always in order: what is shown is never replaced by what is older, and the same is not
 * announced twice. Nor is what somebody is looking at.
 */
export function show(p: Payload, shown: Payload | undefined, watched: boolean): Showing {
  const stale = shown?.seq !== undefined && p.seq !== undefined && shown.seq >= p.seq;
  return { payload: stale ? shown : p, again: !stale && !watched };
}

/** Not all of what TypeScript knows of notifications is there yet. */
type Shown = NotificationOptions & { renotify?: boolean; timestamp?: number };

/**
 * Does one thing at a time with what is shown, in the worker and all pages: what two show at
 * once would be announced twice, and Chromium forgets what is just being shown when somebody
 * asks it meanwhile what is.
 */
export const exclusively = <T>(r: ServiceWorkerRegistration, f: () => Promise<T>): Promise<T> =>
  navigator.locks.request(`parley:${new URL(r.scope).pathname}:shown`, f) as Promise<T>;

/**
 * Shows something under a tag, given what is shown there already, and gives what. null leaves
 * what is shown, 'close' closes it.
 */
export function present(r: ServiceWorkerRegistration, tag: string, what: (shown: Payload | undefined) => Showing | 'close' | null): Promise<Payload | null> {
  const urlOf = (path: string): string => new URL(path, r.scope).href;
  return exclusively(r, async () => {
    const all = await r.getNotifications({ tag });
    const showing = what((all[0]?.data ?? undefined) as Payload | undefined);
    if (showing === 'close') for (const n of all) n.close();
    if (!showing || showing === 'close') return null;
    const { payload, again } = showing;
    const options: Shown = {
      body: payload.body,
      tag: payload.tag,
      icon: urlOf('icons/192.png'),
      badge: urlOf('icons/badge.png'),
      renotify: again,
      silent: !again,
      data: payload,
      ...(payload.at ? { timestamp: Date.parse(payload.at) } : {}),
    };
    await r.showNotification(payload.title, options);
    return payload;
  });
}

/** Closes what is shown, under a tag or anywhere, if it is to be. */
export const close = (r: ServiceWorkerRegistration, which: (shown: Partial<Payload>) => boolean, tag?: string): Promise<void> =>
  exclusively(r, async () => {
    for (const n of await r.getNotifications(tag === undefined ? {} : { tag })) if (which((n.data ?? {}) as Partial<Payload>)) n.close();
  });
