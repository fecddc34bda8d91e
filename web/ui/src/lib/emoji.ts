import dataURL from 'emoji-picker-element-data/en/emojibase/data.json?url';
import { storageName } from './base';
import { canonicalEmoji } from './text/identity';

// The emoji there are, with their names: a file of its own, fetched when somebody first
// picks one.

/** As the data has them. */
interface Raw {
  emoji: string;
  annotation: string;
  group: number;
  order: number;
  version: number;
  tags?: string[];
  shortcodes?: string[];
  emoticon?: string | string[];
  skins?: { tone: number | number[]; emoji: string; version: number }[];
}

export interface Emoji {
  emoji: string;
  /** What it is called. */
  name: string;
  /** Everything it is found by, in small letters. */
  words: string;
  /** In each of the five skin tones, if it has them. */
  tones: string[];
}

export interface EmojiGroup {
  /** Its place in the catalogue's list of names. */
  id: number;
  all: Emoji[];
}

/** Pieces that others are made of; nobody sends them alone. */
const components = 2;

/** Orders the emoji that this device can show. Newest is the last version that it knows. */
export function arrangeEmoji(raw: Raw[], newest: number): EmojiGroup[] {
  const groups = new Map<number, Emoji[]>();
  for (const r of [...raw].sort((a, b) => a.order - b.order)) {
    if (r.group === components || r.version > newest) continue;
    const found = [r.annotation, ...(r.shortcodes ?? []), ...(r.tags ?? []), r.emoticon ?? []].flat();
    // Those of two people have more; one tone for both is what is asked for.
    const tones = (r.skins ?? []).filter((s) => typeof s.tone === 'number' && s.version <= newest).map((s) => canonicalEmoji(s.emoji));
    const emoji = { emoji: canonicalEmoji(r.emoji), name: r.annotation, words: found.join(' ').replaceAll('_', ' ').toLowerCase(), tones };
    groups.set(r.group, [...(groups.get(r.group) ?? []), emoji]);
  }
  return [...groups].sort(([a], [b]) => a - b).map(([id, all]) => ({ id, all }));
}

/** Those found by every word of what was typed; first those that are called so. */
export function searchEmoji(groups: EmojiGroup[], text: string): Emoji[] {
  const words = text.toLowerCase().split(/[\s:_]+/).filter(Boolean);
  if (words.length === 0) return [];
  const starts = (e: Emoji, w: string): boolean => e.words.startsWith(w) || e.words.includes(` ${w}`);
  const rank = (e: Emoji): number => (e.name === words.join(' ') ? 0 : e.name.startsWith(words[0]!) ? 1 : 2);
  return groups
    .flatMap((g) => g.all)
    .filter((e) => words.every((w) => starts(e, w)))
    .sort((a, b) => rank(a) - rank(b));
}

/** As somebody with a skin tone (1 to 5, 0 for none) wants it. */
export const toned = (e: Emoji, tone: number): string => e.tones[tone - 1] ?? e.emoji;

/** One emoji of each version, newest first. */
const probes: [version: number, emoji: string][] = [
  [17, '\u{1faea}'],
  [16, '\u{1fae9}'],
  [15, '\u{1fae8}'],
  [14, '\u{1fae0}'],
  [13, '\u{1f972}'],
  [12, '\u{1f971}'],
];

/** The newest version whose emoji this device can draw: in colour, not as an empty box. */
function newestShown(): number {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const ink = canvas.getContext('2d', { willReadFrequently: true });
  if (!ink) return 12;
  ink.textBaseline = 'top';
  ink.font = '100px sans-serif';
  ink.scale(0.01, 0.01);
  const draw = (emoji: string, colour: string): string => {
    ink.clearRect(0, 0, 100, 100);
    ink.fillStyle = colour;
    ink.fillText(emoji, 0, 0);
    return ink.getImageData(0, 0, 1, 1).data.join();
  };
  // A picture has its own colours; a letter or a box takes the one that it is drawn with.
  const shown = (emoji: string): boolean => draw(emoji, '#000') !== '0,0,0,0' && draw(emoji, '#000') === draw(emoji, '#fff');
  return probes.find(([, emoji]) => shown(emoji))?.[0] ?? 12;
}

let loading: Promise<EmojiGroup[]> | undefined;

/** Fetches the emoji, once. */
export function loadEmoji(): Promise<EmojiGroup[]> {
  loading ??= (async () => {
    const answer = await fetch(dataURL);
    if (!answer.ok) throw new Error(`emoji: ${answer.status}`);
    return arrangeEmoji((await answer.json()) as Raw[], newestShown());
  })();
  loading.catch(() => (loading = undefined)); // the next who asks tries again
  return loading;
}

const recentName = (): string => storageName('emoji');
const toneName = (): string => storageName('emoji-tone');
/** Two rows of the picker. */
const recentMost = 16;

/** Does something with the storage, if the browser lets us. */
function keep<T>(f: (s: Storage) => T): T | undefined {
  try {
    return f(localStorage);
  } catch {
    return undefined;
  }
}

/** Those used lately, the last one first. */
export function recentEmoji(): string[] {
  return keep((s) => s.getItem(recentName()))?.split(' ').filter(Boolean) ?? [];
}

export function used(emoji: string): void {
  const recent = [emoji, ...recentEmoji().filter((e) => e !== emoji)].slice(0, recentMost);
  keep((s) => s.setItem(recentName(), recent.join(' ')));
}

export function skinTone(): number {
  return Number(keep((s) => s.getItem(toneName()))) || 0;
}

export function setSkinTone(tone: number): void {
  keep((s) => s.setItem(toneName(), String(tone)));
}
