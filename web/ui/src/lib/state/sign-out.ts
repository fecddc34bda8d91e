import { storageName } from '../base';
import { forgetDevice } from '../worker';
import { Drafts, draftsPrefix } from './drafts.svelte';
import type { Live } from './live.svelte';
import { openOutboxStore } from './outbox-store';
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

/**
 * Leaves nothing of a user whose session was ended elsewhere on this device. Other tabs drop what
 * they hold as they notice; a page that was opened since has no live state.
 */
export async function forgetUser(user_id: string, live: Live | null): Promise<void> {
  try {
    (live?.drafts ?? new Drafts(draftsPrefix(user_id), { local: localStorage, session: sessionStorage })).clear();
  } catch (err) {
    console.warn('clearing drafts', err); // forbidden by the browser's settings: none were kept
  }
  // Each by itself: a failure of one leaves nothing of the others.
  const clearStore = async () => {
    await live?.outbox.clear();
    const store = openOutboxStore(storageName('outbox'));
    for (const item of await store.all(user_id)) await store.delete(item.client_id);
  };
  for (const done of await Promise.allSettled([clearStore(), forgetDevice()])) {
    if (done.status === 'rejected') console.warn('forgetting a user', done.reason);
  }
}
