import { findAddress, findEmail, findTarget, Line } from './address';
import { at, before, isAddress, isEmoji, isLetter, isSpace, isWord } from './characters';
import { find, mayMention, type Named } from './usernames';

// What is in a line (docs/TEXT.md). It is read once, from left to right.

export type Inline<P extends Named = Mentioned> =
  | { kind: 'text'; text: string }
  | { kind: 'mention'; person: P }
  | { kind: 'code'; text: string }
  | { kind: 'strong'; inlines: Inline<P>[] }
  | { kind: 'em'; inlines: Inline<P>[] }
  | { kind: 'del'; inlines: Inline<P>[] }
  /** Target is shown beside it: where it leads, if its text does not say so. */
  | { kind: 'link'; href: string; inlines: Inline<P>[]; target?: string };

/** A user whom a message mentions, as the reader is shown them. */
export interface Mentioned extends Named {
  name: string;
  /** The reader. */
  me: boolean;
}

/** What is read of a whole text. */
export interface Reading<P extends Named> {
  people: ReadonlyMap<string, P>;
  steps: number;
}

/** By what text is made bold, italic or struck. */
const styles = { '**': 'strong', '*': 'em', _: 'em', '~~': 'del' } as const;
type Mark = keyof typeof styles;

/** A mark that begins something if another one ends it. */
interface Opener {
  mark: Mark;
  at: number;
  /** Where it stands among the nodes. */
  node: number;
  /** How much of substance was before it: letters, digits, pictures, code, links, mentions. */
  substance: number;
}

// What an ASCII character may be: the first look at it decides most.
const special = 1;
const substance = 2;
const space = 4;
const ascii = Uint8Array.from({ length: 128 }, (_, code) => {
  const c = String.fromCharCode(code);
  return (/[`*_~[@hwm]/i.test(c) ? special : 0) | (/[a-z0-9]/i.test(c) ? substance : 0) | (code <= 32 ? space : 0);
});

/** Reads a line. In a label neither links nor mentions are looked for. Cut says that the text went on. */
export function readLine<P extends Named>(text: string, reading: Reading<P>, o: { label?: boolean; cut?: boolean } = {}): Inline<P>[] {
  return new Reader(new Line(text), reading, o.label ?? false).read(o.cut ?? false);
}

class Reader<P extends Named> {
  #line: Line;
  #s: string;
  #reading: Reading<P>;
  #label: boolean;
  #nodes: Inline<P>[] = [];
  /** Marks that are open, at most one of each kind: nesting is as deep at most. */
  #open: Opener[] = [];
  #substance = 0;
  /** From here to where the reader is, nothing but text. */
  #from = 0;
  #codeEnds: Map<number, number> | undefined;
  /** Where the word began in which the reader is, and where an underscore was in a word. */
  #word = 0;
  #snake = -1;

  constructor(line: Line, reading: Reading<P>, label: boolean) {
    this.#line = line;
    this.#s = line.text;
    this.#reading = reading;
    this.#label = label;
  }

  read(cut: boolean): Inline<P>[] {
    const s = this.#s;
    for (let i = 0; i < s.length; ) {
      this.#line.steps++;
      const code = s.charCodeAt(i);
      if (code >= 128) {
        const c = at(s, i);
        if (!isSpace(c)) this.#substance++;
        i += c.length;
        continue;
      }
      const is = ascii[code]!;
      const to = is & special ? this.#special(i) : i;
      if (to === i) {
        if (is & substance) this.#substance++;
        if (is & space) this.#word = i + 1;
        i++;
      } else i = to;
    }
    this.#flush(s.length);
    if (cut) while (this.#open.length > 0) this.#cut();
    this.#reading.steps += this.#line.steps;
    return merged(this.#nodes);
  }

  /** Reads what begins at i, if it is more than text, and gives where it ends. */
  #special(i: number): number {
    switch (this.#s[i]) {
      case '`':
        return this.#code(i);
      case '*':
      case '_':
      case '~':
        return this.#mark(i);
    }
    if (this.#label) return i;
    switch (this.#s[i]) {
      case '[':
        return this.#link(i);
      case '@':
        return this.#at(i);
      case 'h':
      case 'H':
      case 'w':
      case 'W':
      case 'm':
      case 'M':
        return this.#address(i);
    }
    return i;
  }

  /** The text before i becomes a node. */
  #flush(i: number): void {
    if (i > this.#from) this.#nodes.push({ kind: 'text', text: this.#s.slice(this.#from, i) });
    this.#from = i;
  }

  #add(from: number, to: number, node: Inline<P>): number {
    this.#flush(from);
    this.#nodes.push(node);
    this.#from = to;
    this.#substance++;
    return to;
  }

  /** Where the run of one character ends that begins at i. */
  #run(i: number): number {
    let end = i + 1;
    while (this.#s[end] === this.#s[i]) {
      this.#line.steps++;
      end++;
    }
    return end;
  }

  #code(i: number): number {
    const s = this.#s;
    const start = this.#run(i);
    if (isWord(before(s, i)) || s[i - 1] === '\\') return start;
    this.#codeEnds ??= this.#findCodeEnds();
    const end = this.#codeEnds.get(i);
    if (end === undefined) return start;
    const close = end - (start - i);
    this.#line.steps += close - start;
    let code = s.slice(start, close);
    if (code.trim() === '') return start;
    if (/^ `|^ .*` $/.test(code) && code.endsWith(' ')) code = code.slice(1, -1);
    return this.#add(i, end, { kind: 'code', text: code });
  }

  /** Of each run of backticks, where the code that it begins ends: with the next run as long. */
  #findCodeEnds(): Map<number, number> {
    const s = this.#s;
    const ends = new Map<number, number>();
    // Of each length, the last run seen: any, and that with a letter or sign before it.
    const spaced = new Map<number, number>();
    const tight = new Map<number, number>();
    for (let j = s.length - 1; j >= 0; j--) {
      this.#line.steps++;
      if (s[j] !== '`') continue;
      const end = j + 1;
      while (s[j - 1] === '`') {
        this.#line.steps++;
        j--;
      }
      const length = end - j;
      const found = (isSpace(at(s, end)) ? spaced : tight).get(length);
      if (found !== undefined) ends.set(j, found);
      spaced.set(length, end);
      if (!isSpace(before(s, j))) tight.set(length, end);
    }
    return ends;
  }

  #link(i: number): number {
    const s = this.#s;
    let close = i + 1;
    while (close < s.length && s[close] !== ']' && s[close] !== '[') {
      this.#line.steps++;
      close++;
    }
    if (s[close] !== ']' || s[close + 1] !== '(' || s[i - 1] === '!' || s[i - 1] === '\\') return i;
    const end = this.#line.closing(close + 1);
    if (end < 0) return i;
    const label = s.slice(i + 1, close);
    const found = findTarget(this.#line, label, close + 2, end);
    if (!found) return i;
    return this.#add(i, end + 1, { kind: 'link', href: found.href, inlines: readLine(label, this.#reading, { label: true }), ...shown(found.target) });
  }

  #address(i: number): number {
    const found = findAddress(this.#line, i, this.#marks());
    if (!found) return i;
    if (found.href === null) {
      this.#substance++;
      return found.end;
    }
    const text: Inline<P> = { kind: 'text', text: this.#s.slice(i, found.end) };
    return this.#add(i, found.end, { kind: 'link', href: found.href, inlines: [text], ...shown(found.target) });
  }

  #at(i: number): number {
    const s = this.#s;
    if (isAddress(s[i - 1])) {
      const email = findEmail(this.#line, i, this.#from);
      if (email) {
        return this.#add(email.start, email.end, { kind: 'link', href: email.href, inlines: [{ kind: 'text', text: s.slice(email.start, email.end) }] });
      }
    }
    if (this.#reading.people.size === 0 || !mayMention(s, i)) return i;
    const found = find(s, i + 1, this.#reading.people);
    return found ? this.#add(i, found.end, { kind: 'mention', person: found.person }) : i;
  }

  /** The characters of the marks that are open. */
  #marks(): string {
    return this.#open.map((o) => o.mark[0]).join('');
  }

  /** A run of marks: it ends what is open, or may begin something. */
  #mark(i: number): number {
    const end = this.#run(i);
    const s = this.#s;
    const run = s.slice(i, end);
    if (s[i] === '_' && isWord(before(s, i)) && isWord(at(s, end))) {
      // A name in a program: the underscore that it begins with is a part of it.
      this.#snake = i;
      this.#open = this.#open.filter((o) => o.mark !== '_' || o.at < this.#word);
    }
    const marks: Mark[] = run === '***' ? ['**', '*'] : run in styles ? [run as Mark] : [];
    if (marks.length > 0 && this.#closes(i, end, marks)) return end;
    if (marks.length > 0 && this.#mayOpen(i, end, marks[0]!)) {
      this.#flush(i);
      for (const mark of marks) {
        this.#open = this.#open.filter((o) => o.mark !== mark);
        this.#open.push({ mark, at: i, node: this.#nodes.length, substance: this.#substance });
        this.#nodes.push({ kind: 'text', text: mark });
      }
      this.#from = end;
    }
    return end;
  }

  #mayOpen(i: number, end: number, mark: Mark): boolean {
    const s = this.#s;
    const prev = before(s, i);
    if (isWord(prev) || '/\\=.<>|^'.includes(prev || ' ')) return false;
    // Letters beside it: in scripts without spaces bold text begins after a letter, while * and ~ are used as ornaments.
    if (mark !== '**' && isLetter(prev)) return false;
    if (mark.length === 1 && !(prev === '' || isSpace(prev) || '"\'*_~'.includes(prev) || isEmoji(prev) || /^[\p{Ps}\p{Pi}\p{Pd}\p{Po}]/u.test(prev) && (prev > '\u007f' || '([{'.includes(prev)))) return false;
    const next = at(s, end);
    if (next === '' || isSpace(next)) return false;
    if (mark.length === 2) return !'/\\.,;:!?)]}=<>|'.includes(next);
    let j = end;
    for (let c = next; j - end < 6 && (/^[\p{Ps}\p{Pi}]/u.test(c) || '"\'¿¡@#$€£&+-*_~`'.includes(c)); c = at(s, j)) {
      j += c.length;
      if (c === '`' || j >= s.length) break;
    }
    if (/^[oO0]$/.test(s.slice(end, end + 1)) && s[end + 1] === mark) return false; // a face
    return /^[\p{Lu}\p{Ll}\p{Lt}\p{Lo}\p{N}]/u.test(at(s, j)) || isEmoji(at(s, j)) || s[j - 1] === '`';
  }

  #mayClose(i: number, end: number, mark: Mark): boolean {
    const s = this.#s;
    const prev = before(s, i);
    const next = at(s, end);
    if (prev === '' || isSpace(prev) || isWord(next) || (mark.length === 1 && '/\\^=<>|'.includes(next || ' '))) return false;
    if (mark === '_' && this.#snake >= this.#word) return false;
    const afterNode = this.#from === i && this.#nodes.at(-1)?.kind !== 'text';
    if (afterNode || isLetter(prev) || isEmoji(prev) || /^[\p{Pe}\p{Pf}]/u.test(prev)) return true;
    if (mark.length === 2) return !'/\\=<>|(['.includes(prev);
    return '.,;:!?"\'%+#$*_~'.includes(prev) || (prev > '\u007f' && /^[\p{Po}\p{Sc}°]/u.test(prev));
  }

  /** Ends what the marks began, if all of them are open and there is something between. */
  #closes(i: number, end: number, marks: Mark[]): boolean {
    if (!marks.every((m) => this.#mayClose(i, end, m) && this.#open.some((o) => o.mark === m && o.substance < this.#substance))) return false;
    this.#flush(i);
    this.#from = end;
    if (marks.length > 1) marks = this.#open.filter((o) => marks.includes(o.mark)).map((o) => o.mark).reverse();
    for (const mark of marks) {
      let k = this.#open.findIndex((o) => o.mark === mark);
      const under = this.#open[k]!;
      const above = this.#open[k + 1];
      // The two of one run of three end in either order.
      if (mark === '**' && above?.mark === '*' && above.node === under.node + 1) {
        this.#open[k] = { ...above, node: under.node };
        this.#open[++k] = { ...under, node: above.node };
        this.#nodes[under.node] = { kind: 'text', text: '*' };
        this.#nodes[above.node] = { kind: 'text', text: '**' };
      }
      this.#wrap(k);
    }
    return true;
  }

  /** What is after an open mark becomes one node; what was opened after it stays text. */
  #wrap(k: number): void {
    const { node, mark } = this.#open[k]!;
    const inlines = this.#nodes.splice(node + 1);
    this.#line.steps += inlines.length;
    this.#nodes[node] = { kind: styles[mark], inlines };
    this.#open.length = k;
  }

  /** The text went on where it was cut: bold and struck text is taken to end there. */
  #cut(): void {
    const k = this.#open.length - 1;
    const { mark, substance } = this.#open[k]!;
    if (mark.length === 2 && substance < this.#substance) this.#wrap(k);
    else this.#open.length = k;
  }
}

const shown = (target: string | undefined): { target?: string } => (target === undefined ? {} : { target });

/** Text beside text becomes one node. */
function merged<P extends Named>(nodes: Inline<P>[]): Inline<P>[] {
  const all: Inline<P>[] = [];
  let texts: string[] = [];
  const flush = (): void => {
    if (texts.length > 0) all.push({ kind: 'text', text: texts.join('') });
    texts = [];
  };
  for (const node of nodes) {
    if (node.kind === 'text') {
      texts.push(node.text);
      continue;
    }
    flush();
    all.push('inlines' in node && node.kind !== 'link' ? { ...node, inlines: merged(node.inlines) } : node);
  }
  flush();
  return all;
}
