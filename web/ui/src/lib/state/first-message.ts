import type { Conversation } from '../api/types';
import type { LogSource } from './log.svelte';
import type { Person } from './people.svelte';

// A direct conversation that does not exist yet: looking at a person creates nothing. It has an
// id of this browser's, under which its draft and its queued messages are kept. The outbox
// creates the conversation when it sends the first of them.

/** No colon: drafts put one between a conversation's id and what tells its items apart. */
const prefix = 'to-';

/** The path that shows a conversation. */
export const pathOf = (id: string): string => {
  const user_id = unbegunWith(id);
  return user_id === null ? `c/${id}` : `to/${user_id}`;
};

/** The id of the conversation that a path shows; empty for other pages. */
export const shownId = ([page, id = '']: readonly string[]): string => (page === 'c' ? id : page === 'to' ? unbegunId(id) : '');

export const unbegunId = (user_id: string): string => prefix + user_id;

/** Whom a conversation that does not exist yet is with; null for one that exists. */
export const unbegunWith = (id: string): string | null => (id.startsWith(prefix) ? id.slice(prefix.length) : null);

export function unbegun(me: string, person: Person): Conversation {
  const role = 'member';
  return {
    id: unbegunId(person.id),
    kind: 'direct',
    title: '',
    role,
    share_history: false,
    last_seq: 0,
    last_entry_at: '',
    members: [
      { user_id: me, role, username: '', display_name: '' },
      { user_id: person.id, role, username: person.username, display_name: person.display_name },
    ],
    member_count: 2,
    unread: 0,
    unread_mentions: 0,
    delivered_seq: 0,
    read_seq: 0,
    notify: 'all',
    muted_until: null,
    blocked: false,
    accepted: true,
    archived: false,
    others_delivered_seq: 0,
    others_read_seq: 0,
    last_message: null,
  };
}

/** Its log, which is empty. */
export const emptyLog: LogSource = {
  page: async () => ({ messages: [], has_before: false, has_after: false, last_seq: 0 }),
  entries: async () => ({ entries: [], last_seq: 0 }),
};
