// What the server pushes, and what is shown of it (docs/PROTOCOL.md, Notifications).

export interface Payload {
  type: string;
  conversation_id?: string;
  /** The last message that it speaks of. */
  seq?: number;
  title: string;
  body: string;
  /** Unread messages in all conversations that one wants to be told of. */
  unread: number;
  /** One notification a tag. */
  tag: string;
  /** Conversations that were read since: what is shown of them is closed. */
  read?: string[];
  at: string;
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

/**
 * What to show: p, given what is shown under its tag already. Pushes come at least once, and
 * not always in order: what is shown is never replaced by what is older, and the same is not
 * announced twice. Nor is what somebody is looking at.
 */
export function show(p: Payload, shown: Payload | undefined, watched: boolean): { payload: Payload; again: boolean } {
  const stale = shown?.seq !== undefined && p.seq !== undefined && shown.seq >= p.seq;
  return { payload: stale ? shown : p, again: !stale && !watched };
}
