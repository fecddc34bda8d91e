import { forgetDevice } from '../worker';
import type { Live } from './live.svelte';
import { session } from './session.svelte';

/** Ends the session and leaves nothing of what was written on this device. */
export async function signOut(live: Live): Promise<void> {
  await session.signOut();
  const forgotten = forgetDevice().catch(() => {}); // the server has forgotten it already
  live.drafts.clear();
  await live.outbox.clear();
  await forgotten;
}
