import { forgetDevice } from '../worker';
import type { Live } from './live.svelte';
import { session } from './session.svelte';

/**
 * Ends the session and leaves nothing of what was written on this device. Unless that is
 * accepted, it does nothing while messages wait to be sent, and resolves to their number.
 */
export async function signOut(live: Live, accepted: boolean): Promise<number> {
  if (!accepted) {
    // Other tabs may have queued some, and this page may not have read them yet.
    await live.outbox.load().catch((err) => console.warn('reading what is queued', err));
    if (live.outbox.size > 0) return live.outbox.size;
  }
  await session.signOut();
  const forgotten = forgetDevice().catch(() => {}); // the server has forgotten it already
  live.drafts.clear();
  await live.outbox.clear();
  await forgotten;
  return 0;
}
