import { t } from '../i18n';
import type { Live } from '../state/live.svelte';

/** So many are named; the others are counted. */
const named = 10;

/** Who reacted, in words: oneself first. */
export function whoReacted(live: Live, ids: string[]): string {
  const others = ids.filter((id) => id !== live.me);
  const names = others.slice(0, named).flatMap((id) => live.people.label(id) || []);
  const mine = others.length < ids.length ? [t.conversation.you] : [];
  return t.message.names([...mine, ...names], others.length - names.length);
}
