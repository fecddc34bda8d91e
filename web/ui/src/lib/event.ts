import type { Message } from './api/types';
import { t } from './i18n';

// System entries in words. The catalogue gets names, or null for oneself: in many
// languages "you" takes another verb.

/** A piece of a sentence; what people are called is set apart, whichever way it runs. */
export interface Piece {
  text: string;
  name: boolean;
}

/** Cannot be in a name: marks where one begins and ends. */
const mark = '\u0000';

/** Of so many people a sentence names all; of more, all but the last of these, and how many there are besides. */
const named = 4;

/** The sentence for a system entry, and those before it that say the same of others, in pieces. */
export function eventOf(m: Message, alike: Message[], me: string, nameOf: (id: string) => string): Piece[] {
  const who = (id: string): string | null => (id === me ? null : set(nameOf(id)));
  const all = [...alike, m].flatMap((e) => e.user_id ?? []);
  // That oneself is among them is never left out.
  all.sort((a, b) => Number(b === me) - Number(a === me));
  const few = all.length > named ? all.slice(0, named - 1) : all;
  return said(m, who, { whom: few.map(who), more: all.length - few.length })
    .split(mark)
    .map((text, i) => ({ text, name: i % 2 === 1 }))
    .filter((p) => p.text !== '');
}

const set = (name: string): string => `${mark}${name || '…'}${mark}`;

interface Crowd {
  whom: (string | null)[];
  /** So many besides. */
  more: number;
}

function said(m: Message, who: (id: string) => string | null, { whom, more }: Crowd): string {
  const by = who(m.sender_id);
  switch (m.kind) {
    case 'created':
      return t.event.created(by);
    case 'member_added':
      return t.event.added(by, whom, more);
    case 'member_removed':
      return t.event.removed(by, whom, more);
    case 'member_left':
      return t.event.left(by);
    case 'role_changed':
      if (m.user_id === m.sender_id) return t.event.becomes(by, m.role ?? 'member');
      return t.event.makes(by, whom[0] ?? null, m.role ?? 'member');
    case 'title_changed':
      return t.event.renamed(by, set(m.title ?? ''));
    default:
      return '';
  }
}
