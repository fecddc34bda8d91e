import { serverNow, whenClockChanges } from '../clock';
import { dayOf } from '../group';

/** What day and time it is, by the server's clock: pages are left open over midnight. */
class Today {
  /** As in 2026-03-01. */
  key = $state(dayOf(new Date()));
  /** To within half a minute, in milliseconds. */
  now = $state(Date.now());

  constructor() {
    const look = (): void => {
      this.now = serverNow();
      this.key = dayOf(new Date(this.now));
    };
    whenClockChanges(look);
    setInterval(look, 30_000);
    document.addEventListener('visibilitychange', look);
  }
}

export const today = new Today();
