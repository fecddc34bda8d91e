import type { ReportEvent } from '../api/types';

/** What this page was told of reports; the lists are fetched where they are shown. */
class Reports {
  /** How many wait for an admin; more than 99 count as 100. */
  open = $state(0);
  /** Counts what was told: lists are read again. */
  told = $state(0);

  heard(e: ReportEvent): void {
    this.open = e.open ?? this.open;
    this.told++;
  }
}

export const reports = new Reports();
