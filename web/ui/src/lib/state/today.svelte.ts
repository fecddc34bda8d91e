import { dayOf } from '../group';

/** What day and time it is: pages are left open over midnight. */
class Today {
  /** As in 2026-03-01. */
  key = $state(dayOf(new Date()));
  /** To within half a minute (Date.now()). */
  now = $state(Date.now());

  constructor() {
    const look = (): void => {
      this.now = Date.now();
      this.key = dayOf(new Date(this.now));
    };
    setInterval(look, 30_000);
    document.addEventListener('visibilitychange', look);
  }
}

export const today = new Today();
