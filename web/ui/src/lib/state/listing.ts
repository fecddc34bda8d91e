import type { Conversation } from '../api/types';
import { unbegunWith } from './first-message';
import type { Live } from './live.svelte';

// Which conversations the list shows, and which are archived.

type Of = Pick<Live, 'conversations' | 'pending' | 'drafts' | 'conversation'>;

/** A direct conversation is shown once a message is in it. */
const begun = (c: Conversation): boolean => c.kind === 'group' || c.last_seq > 1;

/**
 * The list to show. A direct conversation without a message is in it only while it is open or
 * something is unsent in it; those that do not exist yet come first. Of the archived ones only
 * those with a message that was not sent.
 */
export function listed(live: Of, open: string): Conversation[] {
  const unsent = (id: string): boolean => id === open || live.pending.has(id) || live.drafts.preview(id) !== '';
  const ids = new Set([open, ...live.pending.keys(), ...live.drafts.ids()].filter((id) => {
    const user_id = unbegunWith(id);
    return user_id !== null && unsent(id) && !live.conversations.direct(user_id); // which is in the list itself
  }));
  const here = live.conversations.sorted.filter((c) => (c.archived ? live.pending.has(c.id) : begun(c) || unsent(c.id)));
  return [...[...ids].flatMap((id) => live.conversation(id) ?? []), ...here];
}

/** Those that were archived and have no entry since. */
export const archived = (live: Of): Conversation[] => live.conversations.sorted.filter((c) => c.archived && begun(c) && !live.pending.has(c.id));
