import type { Entry, Message, Page } from '../api/types';
import { fold, isAction } from './fold';

// The part of a conversation that is held: rows in order of seq, none between them missing.
// Pages are put before and after it, live entries at its end; what it holds is bounded.

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
  /** Up to this seq everything that happened to the rows is folded into them. */
  to: number;
}

export const nothing: Window = { rows: [], hasBefore: false, hasAfter: false, to: 0 };

export const lastSeq = (rows: Message[]): number => rows.at(-1)?.seq ?? 0;

export function fromPage(page: Page): Window {
  return { rows: page.messages, hasBefore: page.has_before, hasAfter: page.has_after, to: page.last_seq };
}

/*
 * Rows of pages that were fetched at different times are folded up to different seqs. The
 * lowest counts: what follows it is then applied to all of them, to some once more.
 */

/** Puts an older page before the rows. What is too much is dropped at the other end. */
export function prepend(w: Window, page: Page): Window {
  const first = w.rows[0]?.seq ?? Infinity;
  const older = page.messages.filter((m) => m.seq < first);
  const rows = [...older, ...w.rows];
  const hasBefore = page.has_before && older.length > 0; // else it would be asked for ever
  const to = Math.min(w.to, page.last_seq);
  if (rows.length <= maxRows) return { ...w, rows, hasBefore, to };
  return { rows: rows.slice(0, maxRows), hasBefore, hasAfter: true, to };
}

/** Puts a newer page after the rows. What is too much is dropped at the other end. */
export function append(w: Window, page: Page): Window {
  const last = lastSeq(w.rows);
  const newer = page.messages.filter((m) => m.seq > last);
  const hasAfter = page.has_after && newer.length > 0;
  return dropOld({ ...w, rows: [...w.rows, ...newer], hasAfter, to: Math.min(w.to, page.last_seq) });
}

/** Takes rows that are held as a page has them now. */
export function renew(w: Window, page: Page): Window {
  const now = new Map(page.messages.map((m) => [m.seq, m]));
  return { ...w, rows: w.rows.map((m) => now.get(m.seq) ?? m) };
}

function dropOld(w: Window): Window {
  if (w.rows.length <= maxRows) return w;
  // By whole pages, so that not every new message moves the beginning.
  const drop = Math.ceil((w.rows.length - maxRows) / pageRows) * pageRows;
  return { ...w, rows: w.rows.slice(drop), hasBefore: true };
}

export type Applied = 'applied' | 'known' | 'hole' | 'beyond';

/**
 * Applies one entry of the log: only the next one. That is the one with the next seq, or
 * the one that the server says is next: there may be some that are not for us to see.
 * `hole` means that entries before it are missing, `beyond` that its row is after those
 * that are held.
 *
 * Somebody who reads older rows while a full window grows must not lose them: then the
 * new ones are left for later.
 */
export function apply(w: Window, entry: Entry, following: boolean, next = entry.seq === w.to + 1): [Applied, Window] {
  if (entry.seq <= w.to) return ['known', w];
  // What it does to a row is shown at once; it comes again after what is missing.
  const rows = fold(w.rows, entry);
  if (!next) return ['hole', rows === w.rows ? w : { ...w, rows }];
  const to = entry.seq;
  if (isAction(entry)) return ['applied', { ...w, rows, to }];
  if (w.hasAfter) return ['beyond', { ...w, to }];
  if (entry.seq <= lastSeq(rows)) return ['known', { ...w, to }]; // it came with a page
  if (!following && rows.length >= maxRows) return ['beyond', { ...w, hasAfter: true, to }];
  return ['applied', dropOld({ ...w, rows: [...rows, entry], to })];
}
