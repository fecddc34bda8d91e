import { at, before, hidden, isAddress, isLetter, isSpace, isSpaceless, isWord } from './characters';

// Addresses in a text: where one ends, where it leads, and whether it looks like another.

/** An address that was found. */
export interface Address {
  end: number;
  /** Where a click leads; null: what stands there is shown as typed, without a link. */
  href: string | null;
  /** Where it really leads, if what was typed looks like another place. */
  target?: string;
}

const openings = '([{';
const closings = ')]}';

/** Never part of an address: shapes that a sentence puts beside one, and characters without a shape. */
function endsAddress(c: string): boolean {
  if (c < '\u0080') return c < '!' || '<>"`\\|^\u007f'.includes(c);
  if (c === '\u200c' || c === '\u200d') return false; // between letters of Persian and others
  if ('·・･׳״־'.includes(c)) return false; // in words and names
  return !isLetter(c) || hidden.test(c);
}

/** A line, with what is ahead of each place in it, so that nothing is searched for twice. */
export class Line {
  /** Steps taken, which tests compare with the length. */
  steps = 0;
  #ends: Int32Array | undefined;
  #userinfo: Int32Array | undefined;
  #brackets: Int32Array | undefined;

  constructor(readonly text: string) {}

  /** The first place from i on where an address ends whatever it is. */
  end(i: number): number {
    this.#ends ??= this.#next(endsAddress);
    return this.#ends[i]!;
  }

  /** Is there an @ before the path of an address, of which i is a part before the path? */
  hasUserinfo(i: number): boolean {
    this.#userinfo ??= this.#next((c) => '@/?#'.includes(c) || endsAddress(c));
    return this.text[this.#userinfo[i]!] === '@';
  }

  /** Where the round bracket at i is closed, without a space between; -1 if it is not. */
  closing(i: number): number {
    if (!this.#brackets) {
      this.#brackets = new Int32Array(this.text.length).fill(-1);
      let open: number[] = [];
      for (let j = 0; j < this.text.length; j++, this.steps++) {
        const c = this.text[j]!;
        if (c === '(') open.push(j);
        else if (c === ')' && open.length > 0) this.#brackets[open.pop()!] = j;
        else if (isSpace(c)) open = [];
      }
    }
    return this.#brackets[i]!;
  }

  #next(stops: (c: string) => boolean): Int32Array {
    const { text } = this;
    const next = new Int32Array(text.length + 1).fill(text.length);
    for (let j = text.length - 1; j >= 0; j--, this.steps++) {
      next[j] = stops(text.charCodeAt(j) < 128 ? text[j]! : before(text, j + 1)) ? j : next[j + 1]!;
    }
    return next;
  }
}

/** The scheme of an address that begins at i. */
export function schemeAt(s: string, i: number): 'http://' | 'https://' | 'www.' | 'mailto:' | undefined {
  const head = s.slice(i, i + 8).toLowerCase();
  return (['http://', 'https://', 'www.', 'mailto:'] as const).find((scheme) => head.startsWith(scheme));
}

/**
 * An address as it stands in a sentence, which begins at i. Marks are the characters by which
 * italic, bold or struck text may end after it.
 */
export function findAddress(line: Line, i: number, marks: string): Address | undefined {
  const s = line.text;
  if (isAsciiWord(s[i - 1])) return undefined;
  const scheme = schemeAt(s, i);
  if (!scheme) return undefined;
  if (scheme === 'mailto:') return findMailto(line, i);
  if (scheme === 'www.' && (isAddress(s[i - 1]) || '@/:\\'.includes(s[i - 1] ?? ' '))) return undefined;
  const host = hostAt(line, scheme === 'www.' ? i : i + scheme.length, marks);
  if (host === undefined) return undefined;
  if (line.hasUserinfo(host)) return { end: trimmed(line, host, line.end(host), marks), href: null };
  const end = trimmed(line, host, pathEnd(line, host), marks);
  // The rest of a name that can be no address: not even its beginning is.
  const next = at(s, host);
  if (next > '\u007f' && !isSpace(next) && !/^[\p{L}\p{P}]/u.test(next) && !s.slice(i, host).includes('.')) return undefined;
  if (scheme === 'www.' && s.slice(i, host).indexOf('.', 5) < 0) return undefined;
  const typed = s.slice(i, end);
  return { end, ...leadsTo(scheme === 'www.' ? `http://${typed}` : typed) };
}

const isAsciiWord = (c: string | undefined): boolean => c !== undefined && /[A-Za-z0-9]/.test(c);

/** Where the host that begins at i, and its port, end. */
function hostAt(line: Line, i: number, marks: string): number | undefined {
  const s = line.text;
  let end = i;
  if (s[i] === '[') {
    end++;
    while (end - i < 48 && /[0-9A-Fa-f:.]/.test(s[end] ?? ' ')) end++;
    if (s[end] !== ']') return undefined;
    end++;
  } else {
    let label = i;
    for (let c = at(s, end); c !== '' && (isLetter(c) || c === '-' || c === '.' || c === '_') && !hidden.test(c); c = at(s, end)) {
      line.steps++;
      if (c === '.') label = end + 1;
      // After the last label of an address, text of a script without spaces goes on.
      if (isSpaceless(c) && end > label && isAsciiWord(s[end - 1])) break;
      end += c.length;
    }
    const whole = end;
    while (end > i && ('.-_'.includes(s[end - 1]!) || marks.includes(s[end - 1]!))) end--;
    if (end === i) return undefined;
    if (s[end] === '.' && end + 1 === whole && '/?#:'.includes(s[whole] ?? ' ')) end = whole;
  }
  if (s[end] === ':' && /[0-9]/.test(s[end + 1] ?? ' ')) {
    let port = end + 1;
    while (port - end <= 5 && /[0-9]/.test(s[port] ?? ' ')) port++;
    end = port;
  }
  return end;
}

/** Where a path, query and fragment from i on end. A bracket closed that was not opened ends them. */
function pathEnd(line: Line, i: number): number {
  const s = line.text;
  if (!'/?#'.includes(s[i] ?? ' ')) return i;
  const last = line.end(i);
  const open = [0, 0, 0];
  for (let j = i; j < last; j++, line.steps++) {
    const opened = openings.indexOf(s[j]!);
    const closed = closings.indexOf(s[j]!);
    if (opened >= 0) open[opened]!++;
    if (closed >= 0 && --open[closed]! < 0) return j;
  }
  return last;
}

/** Without the punctuation of the sentence that the address ends. */
function trimmed(line: Line, from: number, end: number, marks: string): number {
  const s = line.text;
  while (end > from && (".,:;!?'([{·・･׳״־\u200c\u200d".includes(s[end - 1]!) || marks.includes(s[end - 1]!))) {
    line.steps++;
    end--;
  }
  return end;
}

/** Where an address leads that was typed in full. */
function leadsTo(typed: string): Omit<Address, 'end'> {
  const href = safeHref(typed);
  if (href === null) return { href };
  const url = new URL(href);
  if (url.username !== '' || url.password !== '' || url.hostname === '') return { href: null };
  const named = /^https?:\/\/(\[[^\]]*\]|[^/?#:]*)/i.exec(typed)?.[1] ?? '';
  const host = named.toLowerCase();
  if (/[^\p{L}\p{N}\p{M}._[\]:-]/u.test(host) || hidden.test(host)) return { href: null };
  // A capital I among small letters looks like a small L.
  if (/I/.test(named) && /[a-z].*\./.test(named)) return { href, target: url.host };
  const plain = host === url.hostname || (!/^[\x00-\x7f]*$/.test(host) && !mayDeceive(host));
  return plain ? { href } : { href, target: url.host };
}

/** Letters of other scripts that look like Latin ones. */
const lookalikes = /^[аеіоорсухѕјһԁԛԝьѵ\u04cfοονρυικτ\u0131\u0251\u0261օոսցհ0-9-]+$/u;

/**
 * Could a host in other letters pass for another one? Its labels mix alphabets that look alike,
 * are made of such letters alone, or have letters of Latin that hardly differ from a to z.
 */
export function mayDeceive(host: string): boolean {
  return host.normalize('NFC').split('.').some((label) => {
    const alphabets = [/\p{sc=Latn}/u, /\p{sc=Cyrl}/u, /\p{sc=Grek}/u, /\p{sc=Armn}/u, /[\p{sc=Cher}\p{sc=Copt}\p{sc=Lisu}]/u];
    if (alphabets.filter((a) => a.test(label)).length > 1) return true;
    if (/[^\x00-\x7f]/.test(label) && lookalikes.test(label)) return true;
    // One letter beside thousands of Han signs: those that look like a slash, a dash or a dot.
    if (/[ノ〳〵丶丿一ーㆍᆢ]/u.test(label) && /[a-z0-9]/i.test(label)) return true;
    return /[\u0131\u0138\u017f\u0180-\u01cc\u01dd\u0221-\u02af\u1d00-\u1dbf\ua720-\ua7ff\uab30-\uab6f\p{M}]/u.test(label) && /\p{sc=Latn}/u.test(label);
  });
}

/** The address, if it is one that a click may open: never script, never relative to this page. */
export function safeHref(href: string): string | null {
  try {
    const url = new URL(href);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** The domain of an email address, of which the @ is at i: where it ends; -1: it is none. */
function domainEnd(line: Line, i: number): number {
  const s = line.text;
  let end = i + 1;
  while (end < s.length && /[A-Za-z0-9.-]/.test(s[end]!)) {
    line.steps++;
    end++;
  }
  // What goes on is another kind of address.
  if (s[end] === '@' || s[end] === '/' || isWord(at(s, end)) || (s[end] === ':' && isLetter(at(s, end + 1)))) return -1;
  while (end > i && '.-'.includes(s[end - 1]!)) end--;
  let dot = end - 1;
  while (dot > i && s[dot] !== '.') dot--;
  const ok = dot > i + 1 && s[dot - 1] !== '.' && s[i + 1] !== '.' && s[i + 1] !== '-' && end - dot > 2 && /[A-Za-z]/.test(s[dot + 1]!);
  return ok ? end : -1;
}

/** An email address around the @ at i, not before from. */
export function findEmail(line: Line, i: number, from: number): { start: number; end: number; href: string } | undefined {
  const s = line.text;
  let start = i;
  while (start > from && isAddress(s[start - 1])) {
    line.steps++;
    start--;
  }
  const outside = before(s, start);
  if (isWord(outside) || '@/\\'.includes(outside || ' ')) return undefined;
  while (start < i && !isAsciiWord(s[start])) start++;
  const end = start < i ? domainEnd(line, i) : -1;
  return end < 0 ? undefined : { start, end, href: `mailto:${encodeURI(s.slice(start, end))}` };
}

function findMailto(line: Line, i: number): Address | undefined {
  const from = i + 'mailto:'.length;
  let sign = from;
  while (isAddress(line.text[sign])) {
    line.steps++;
    sign++;
  }
  const email = line.text[sign] === '@' && findEmail(line, sign, from);
  return email && email.start === from ? { end: email.end, href: email.href } : undefined;
}

/** Could a text be taken for an address? Then it is no name for another one. */
function looksLikeAddress(text: string): boolean {
  const flat = text.normalize('NFKC').replace(/[。｡․。·⸱]/gu, '.').replace(/[⁄∕⧸╱]/gu, '/');
  return /:\/\/|www\.|@|[\p{L}\p{N}]\.\p{L}{2}|\d\.\d+\.\d+\.\d/iu.test(flat);
}

/**
 * Where [label](address) leads, which is in the line from i to end; undefined: it is no link.
 * The target is always shown, unless it is the label itself.
 */
export function findTarget(line: Line, label: string, i: number, end: number): { href: string; target?: string } | undefined {
  const s = line.text;
  const scheme = schemeAt(s, i);
  if (!scheme || scheme === 'www.' || line.end(i) < end) return undefined;
  line.steps += label.length;
  if (label.trim() === '' || hidden.test(label.replace(/[\u200c\u200d\ufe0f]/g, ''))) return undefined;
  if (scheme === 'mailto:') {
    const email = findMailto(line, i);
    if (!email || email.end > end || (email.end < end && s[email.end] !== '?')) return undefined;
    const target = s.slice(i + scheme.length, email.end);
    const href = safeHref(s.slice(i, end));
    if (href === null || label === target) return href === null ? undefined : { href };
    return looksLikeAddress(label) ? undefined : { href, target };
  }
  // Whether it is an address is known by its host; so nested ones are not read again and again.
  const host = hostAt(line, i + scheme.length, '');
  if (host === undefined || host > end || (host < end && !'/?#'.includes(s[host]!))) return undefined;
  const origin = s.slice(i, host);
  const found = leadsTo(origin);
  if (found.href === null) return undefined;
  const typed = s.slice(i, end);
  const named = origin.slice(scheme.length).toLowerCase();
  const same = [typed, origin, named].some((t) => t.length === label.length && t.toLowerCase() === label.toLowerCase());
  if (!same && looksLikeAddress(label)) return undefined;
  line.steps += typed.length;
  const href = safeHref(typed);
  if (href === null) return undefined;
  return same && !found.target ? { href } : { href, target: found.target ?? named };
}
