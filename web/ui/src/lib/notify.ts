import type { NotifyChange } from './api/http';
import type { Conversation, Entry } from './api/types';

// Of what one wants to be told, and when.

/** A mute without an end. */
const forever = '9999-01-01T00:00:00Z';

type Settings = Pick<Conversation, 'notify' | 'muted_until'>;

export const isMuted = ({ muted_until }: Settings, now: number): boolean => muted_until !== null && Date.parse(muted_until) > now;

/** One is told of nothing in it, and its messages are in no count but its own. */
export const isQuiet = (c: Settings, now: number): boolean => c.notify === 'none' || isMuted(c, now);

/** Is somebody told of a message? What was said during a mute is not told of later. */
export const isTold = (c: Settings, e: Pick<Entry, 'created_at' | 'mentions'>, me: string): boolean =>
  !isQuiet(c, Date.parse(e.created_at)) && (c.notify === 'all' || e.mentions?.includes(me) === true);

/** Does a mute end only when one ends it? */
export const isForever = (until: string): boolean => until >= forever.slice(0, 10);

/** For how long one can mute. */
export type MuteFor = 'hour' | 'night' | 'tomorrow' | 'ever';

/** What to ask the server for. It counts hours by its own clock; now tells the day for a morning, and is its time too. */
export function muteFor(how: MuteFor, now: Date): NotifyChange {
  if (how === 'ever') return { muted_until: forever };
  if (how !== 'tomorrow') return { mute_for_s: (how === 'hour' ? 1 : 8) * 3_600 };
  const until = new Date(now);
  until.setDate(until.getDate() + 1);
  until.setHours(8, 0, 0, 0);
  return { mute_for_s: Math.round((until.getTime() - now.getTime()) / 1_000) };
}
