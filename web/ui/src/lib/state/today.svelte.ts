import { dayOf } from '../group';

/** Today, as in 2026-03-01; pages are left open over midnight. */
class Today {
  key = $state(dayOf(new Date()));

  constructor() {
    const look = (): void => {
      this.key = dayOf(new Date());
    };
    setInterval(look, 30_000);
    document.addEventListener('visibilitychange', look);
  }
}

export const today = new Today();
