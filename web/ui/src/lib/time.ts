import { language, t } from './i18n';
import { dayOf } from './group';

// Moments in words: those of the catalogue, in the order and with the clock of the browser's
// first language. Formatters are slow to make, so each is made once.

type Part = 'day' | 'month' | 'year';
type Format = (date: Date) => string;

/** How a language that is not the catalogue's writes dates: in what order, and with what between numbers. */
function orderOf(language: string, month: 'long' | 'numeric'): { order: Part[]; between: string } {
  const parts = new Intl.DateTimeFormat(language, { day: 'numeric', month, year: '2-digit', calendar: 'gregory', numberingSystem: 'latn' }).formatToParts();
  const order = parts.flatMap(({ type }) => (type === 'day' || type === 'month' || type === 'year' ? [type] : []));
  return { order, between: /[./-]/.exec(parts.find((p) => p.type === 'literal')?.value ?? '')?.[0] ?? '/' };
}

function clockOf(language: string, english: string): Format {
  const minutes = { hour: 'numeric', minute: '2-digit' } as const;
  const own = new Intl.DateTimeFormat(language, { timeStyle: 'short', numberingSystem: 'latn' });
  const { hourCycle } = own.resolvedOptions();
  if (hourCycle === 'h11' || hourCycle === 'h12') return new Intl.DateTimeFormat(english, { ...minutes, hourCycle }).format;
  const padded = own.formatToParts(new Date(2026, 0, 1, 9)).some((p) => p.type === 'hour' && p.value.length > 1);
  const two = (n: number): string => String(n).padStart(2, '0');
  return (date) => `${padded ? two(date.getHours()) : date.getHours()}:${two(date.getMinutes())}`;
}

/** The formats for a browser's first language. */
export function formatsOf(language: string) {
  const words = orderOf(language, 'long').order;
  const english = /^en\b/.test(language) ? language : words[0] === 'day' ? 'en-GB' : 'en-US';
  const format = (o: Intl.DateTimeFormatOptions): Format => new Intl.DateTimeFormat(english, o).format;
  // No English has the year first.
  const dated = (month: 'short' | 'long'): Format => {
    const dayMonth = format({ day: 'numeric', month });
    return words[0] === 'year' ? (date) => `${date.getFullYear()} ${dayMonth(date)}` : format({ day: 'numeric', month, year: 'numeric' });
  };
  const [weekday, long, medium] = [format({ weekday: 'long' }), dated('long'), dated('short')];
  const comma = english === 'en-GB' ? ' ' : ', ';
  const numbers = orderOf(language, 'numeric');
  const numberOf: Record<Part, Format> = {
    day: (date) => String(date.getDate()),
    month: (date) => String(date.getMonth() + 1),
    year: (date) => String(date.getFullYear() % 100).padStart(2, '0'),
  };
  const clock = clockOf(language, english);
  const dayMonthYear: Format = (date) => `${weekday(date)}${comma}${long(date)}`;
  return {
    clock,
    weekday,
    shortWeekday: format({ weekday: 'short' }),
    dayMonth: format({ weekday: 'long', day: 'numeric', month: 'long' }),
    dayMonthYear,
    shortDay: format({ day: 'numeric', month: 'short' }),
    shortDate: (date: Date): string => numbers.order.map((part) => numberOf[part](date)).join(numbers.between),
    full: (date: Date): string => t.time.dayAt(dayMonthYear(date), clock(date)),
    medium: (date: Date): string => `${medium(date)}, ${clock(date)}`,
  };
}

const { clock, weekday, shortWeekday, dayMonth, dayMonthYear, shortDay, shortDate, full, medium } = formatsOf(language);

/** How many days before today a day is; both as in 2026-03-01. */
function daysAgo(day: string, today: string): number {
  return Math.round((Date.parse(today) - Date.parse(day)) / 86_400_000);
}

/** 14:05 */
export const timeOf = (at: string): string => clock(new Date(at));

/** Everything about the moment, for who wants to know. */
export const momentOf = (at: string): string => full(new Date(at));

/** 1 Mar 2026, 14:05 */
export const dateTimeOf = (at: string): string => medium(new Date(at));

/** A heading over the messages of a day: Today, Yesterday, Monday, Monday 2 March (2025). */
export function dayTitle(day: string, today: string): string {
  const ago = daysAgo(day, today);
  if (ago === 0) return t.time.today;
  if (ago === 1) return t.time.yesterday;
  const date = new Date(`${day}T12:00:00`);
  if (ago > 1 && ago < 7) return weekday(date);
  return day.slice(0, 4) === today.slice(0, 4) ? dayMonth(date) : dayMonthYear(date);
}

/** A moment in a sentence: today at 14:05, yesterday at 14:05, Monday at 14:05, 2 Mar at 14:05. */
export function whenOf(at: string, today: string): string {
  const date = new Date(at);
  const day = dayOf(date);
  const ago = daysAgo(day, today);
  const time = clock(date);
  if (ago <= 0) return t.time.todayAt(time);
  if (ago === 1) return t.time.yesterdayAt(time);
  if (ago < 7) return t.time.dayAt(weekday(date), time);
  return day.slice(0, 4) === today.slice(0, 4) ? t.time.dayAt(shortDay(date), time) : dateTimeOf(at);
}

/** A moment that comes: 14:05, tomorrow at 14:05, 2 Mar 2026, 14:05. */
export function untilOf(at: string, today: string): string {
  const date = new Date(at);
  const ahead = -daysAgo(dayOf(date), today);
  const time = clock(date);
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
  if (ago <= 0) return clock(date);
  if (ago === 1) return t.time.yesterday;
  if (ago < 7) return shortWeekday(date);
  return day.slice(0, 4) === today.slice(0, 4) ? shortDay(date) : shortDate(date);
}
