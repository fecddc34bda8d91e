import type { Entry, Message, Page } from '../api/types';

// The part of a conversation that is held: rows in order of seq without a hole. Pages are
// put before and after it, live entries at its end; what it holds is bounded.

/** As many rows as are ever held, and so in the DOM. */
export const maxRows = 300;
/** Rows fetched at once, and dropped at once. */
export const pageRows = 50;
/** Missing entries up to this many are fetched one after the other; beyond, one jumps. */
export const maxGap = 200;

export interface Window {
  rows: Message[];
  hasBefore: boolean;
  /** There is more after the rows; live entries are then not put at their end. */
  hasAfter: boolean;
  /** Up to this seq everything is held. */
  to: number;
}

export const nothing: Window = { rows: [], hasBefore: false, hasAfter: false, to: 0 };

const lastSeq = (rows: Message[]): number => rows.at(-1)?.seq ?? 0;

export function fromPage(page: Page): Window {
  return { rows: page.messages, hasBefore: page.has_before, hasAfter: page.has_after, to: lastSeq(page.messages) };
}

/** Puts an older page before the rows. What is too much is dropped at the other end. */
export function prepend(w: Window, page: Page): Window {
  const first = w.rows[0]?.seq ?? Infinity;
  const older = page.messages.filter((m) => m.seq < first);
  const rows = [...older, ...w.rows];
  const hasBefore = page.has_before && older.length > 0; // else it would be asked for ever
  if (rows.length <= maxRows) return { ...w, rows, hasBefore };
  const kept = rows.slice(0, maxRows);
  return { rows: kept, hasBefore, hasAfter: true, to: lastSeq(kept) };
}

/** Puts a newer page after the rows. What is too much is dropped at the other end. */
export function append(w: Window, page: Page): Window {
  const newer = page.messages.filter((m) => m.seq > w.to);
  const rows = [...w.rows, ...newer];
  return dropOld({ ...w, rows, hasAfter: page.has_after && newer.length > 0, to: Math.max(w.to, lastSeq(rows)) });
}

function dropOld(w: Window): Window {
  if (w.rows.length <= maxRows) return w;
  // By whole pages, so that not every new message moves the beginning.
  const drop = Math.ceil((w.rows.length - maxRows) / pageRows) * pageRows;
  return { ...w, rows: w.rows.slice(drop), hasBefore: true };
}

export type Applied = 'applied' | 'known' | 'hole' | 'beyond';

/**
 * Applies one entry of the log: only the very next one. `hole` means that entries before
 * it are missing, `beyond` that the rows do not reach the end of the conversation.
 *
 * Somebody who reads older rows while a full window grows must not lose them: then the
 * new ones are left for later.
 */
export function apply(w: Window, entry: Entry, following: boolean): [Applied, Window] {
  if (w.hasAfter) return ['beyond', w];
  if (entry.seq <= w.to) return ['known', w];
  if (entry.seq > w.to + 1) return ['hole', w];
  if (!following && w.rows.length >= maxRows) return ['beyond', { ...w, hasAfter: true }];
  return ['applied', dropOld({ ...w, rows: [...w.rows, entry], to: entry.seq })];
}
