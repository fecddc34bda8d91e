import { locale, t } from './i18n';
import { dayOf } from './group';

// Moments in words. Formatters are slow to make, so each is made once.

const format = (o: Intl.DateTimeFormatOptions): Intl.DateTimeFormat => new Intl.DateTimeFormat(locale, o);
const clock = format({ hour: 'numeric', minute: '2-digit' });
const weekday = format({ weekday: 'long' });
const shortWeekday = format({ weekday: 'short' });
const dayMonth = format({ weekday: 'long', day: 'numeric', month: 'long' });
const dayMonthYear = format({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const shortDay = format({ day: 'numeric', month: 'short' });
const shortDate = format({ day: 'numeric', month: 'numeric', year: '2-digit' });
const full = format({ dateStyle: 'full', timeStyle: 'short' });
const medium = format({ dateStyle: 'medium', timeStyle: 'short' });

/** How many days before today a day is; both as in 2026-03-01. */
function daysAgo(day: string, today: string): number {
  return Math.round((Date.parse(today) - Date.parse(day)) / 86_400_000);
}

/** 14:05 */
export const timeOf = (at: string): string => clock.format(new Date(at));

/** Everything about the moment, for who wants to know. */
export const momentOf = (at: string): string => full.format(new Date(at));

/** 1 Mar 2026, 14:05 */
export const dateTimeOf = (at: string): string => medium.format(new Date(at));

/** A heading over the messages of a day: Today, Yesterday, Monday, Monday 2 March (2025). */
export function dayTitle(day: string, today: string): string {
  const ago = daysAgo(day, today);
  if (ago === 0) return t.time.today;
  if (ago === 1) return t.time.yesterday;
  const date = new Date(`${day}T12:00:00`);
  if (ago > 1 && ago < 7) return weekday.format(date);
  return day.slice(0, 4) === today.slice(0, 4) ? dayMonth.format(date) : dayMonthYear.format(date);
}

/** A moment in a sentence: today at 14:05, yesterday at 14:05, Monday at 14:05, 2 Mar at 14:05. */
export function whenOf(at: string, today: string): string {
  const date = new Date(at);
  const day = dayOf(date);
  const ago = daysAgo(day, today);
  const time = clock.format(date);
  if (ago <= 0) return t.time.todayAt(time);
  if (ago === 1) return t.time.yesterdayAt(time);
  if (ago < 7) return t.time.dayAt(weekday.format(date), time);
  return day.slice(0, 4) === today.slice(0, 4) ? t.time.dayAt(shortDay.format(date), time) : dateTimeOf(at);
}

/** A moment that comes: 14:05, tomorrow at 14:05, 2 Mar 2026, 14:05. */
export function untilOf(at: string, today: string): string {
  const date = new Date(at);
  const ahead = -daysAgo(dayOf(date), today);
  const time = clock.format(date);
  return ahead <= 0 ? time : ahead === 1 ? t.time.tomorrowAt(time) : dateTimeOf(at);
}

/** How long ago a moment is, in a sentence; the older, the less exactly. */
export function agoOf(at: string, { now, key }: { now: number; key: string }): string {
  const minutes = Math.floor((now - Date.parse(at)) / 60_000);
  if (minutes < 1) return t.time.justNow; // or ahead of us, by whose clock ever
  return minutes < 60 ? t.time.minutesAgo(minutes) : whenOf(at, key);
}

/** A moment as short as a list needs it: 14:05, Yesterday, Mon, 2 Mar, 2.3.25. */
export function shortTime(at: string, today: string): string {
  const date = new Date(at);
  const day = dayOf(date);
  const ago = daysAgo(day, today);
  if (ago <= 0) return clock.format(date);
  if (ago === 1) return t.time.yesterday;
  if (ago < 7) return shortWeekday.format(date);
  return day.slice(0, 4) === today.slice(0, 4) ? shortDay.format(date) : shortDate.format(date);
}
