import type { Conversation } from '../api/types';
import { t } from '../i18n';
import { isForever, isMuted } from '../notify';
import { connection } from '../state/connection.svelte';
import type { Live } from '../state/live.svelte';
import { today } from '../state/today.svelte';
import { agoOf, untilOf } from '../time';

// Signs of life of others, in words.

interface Sign {
  online: boolean;
  /** Empty where nothing is known. */
  words: string;
}

const none: Sign = { online: false, words: '' };

/** Whether somebody who is watched is here, or when they were. */
export function presenceOf(live: Live, user_id: string): Sign {
  // What is not kept current is not said, nor what a block hides.
  const state = connection.offline || live.blocks.has(user_id) ? undefined : live.presence.get(user_id);
  if (!state) return none;
  if (state.online) return { online: true, words: t.presence.online };
  return state.last_seen ? { online: false, words: t.presence.lastSeen(agoOf(state.last_seen, today)) } : none;
}

/** Who is typing in a conversation: of two people it is clear who, if not named on purpose. */
export function typingIn(live: Live, c: Conversation, named = c.kind === 'group'): string {
  const who = c.blocked ? [] : live.typing.in(c.id).filter((id) => !live.blocks.has(id));
  if (who.length === 0) return '';
  return named ? t.presence.typingNamed(who.map((id) => shortNameOf(live, id))) : t.presence.typing;
}

/** There is little room, and who is meant is mostly clear: Ben for Ben Okri, but all of M. Curie. */
export function shortName(name: string): string {
  const first = name.split(' ', 1)[0]!;
  return first.length > 2 && !first.endsWith('.') ? first : name;
}

/** The same of a person; the username, if the name is another one's too. */
export const shortNameOf = (live: Live, id: string): string => live.people.handle(id) || shortName(live.people.name(id));

/** That a conversation is muted, and until when, if it is. */
export function mutedUntil(c: Conversation): string {
  if (!isMuted(c, today.now)) return '';
  return isForever(c.muted_until!) ? t.notify.muted : t.notify.mutedUntil(untilOf(c.muted_until!, today.key));
}

/** Why one is told of nothing in a conversation; empty if one is. */
export const quietWords = (c: Conversation): string => mutedUntil(c) || (c.notify === 'none' ? t.notify.none : '');
