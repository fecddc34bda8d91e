import { tame } from './controls';
import { readLine, type Inline, type Mentioned, type Reading } from './inline';
import { byUsername, type Named } from './usernames';

// What a message's text becomes: a tree of a few kinds of nodes, which components render
// (docs/TEXT.md has the grammar). There is no way from here to HTML. What is not plainly
// markup stays as it was typed.
//
// Invariant: the steps taken, and the depth of the tree, do not grow faster than the text and
// not at all with it. Tests count the steps.

export type { Inline, Mentioned } from './inline';

export type Block<P extends Named = Mentioned> =
  | { kind: 'text'; lines: Inline<P>[][] }
  | { kind: 'code'; text: string; language?: string }
  | { kind: 'quote'; blocks: Block<P>[] }
  | { kind: 'list'; items: Item<P>[] };

export interface Item<P extends Named = Mentioned> {
  /** What stands before it: a bullet, or what was typed. */
  marker: string;
  /** How far in it is, from 0. */
  level: number;
  lines: Inline<P>[][];
}

/** Quotes in quotes, and lists in lists, beyond this stay as they were typed. */
const maxDepth = 4;

/** Never throws: what cannot be understood is text. People are those whom it may mention. */
export function parse<P extends Named = Mentioned>(text: string, people: readonly P[] = [], o: { cut?: boolean } = {}): Block<P>[] {
  return parseCounted(text, people, o).blocks;
}

/** The same, with the number of steps that it took. */
export function parseCounted<P extends Named>(text: string, people: readonly P[] = [], o: { cut?: boolean } = {}): { blocks: Block<P>[]; steps: number } {
  const reading: Reading<P> = { people: byUsername(people), steps: text.length };
  const lines = text.split(/\r\n|\n|\r/).map(tame);
  while (lines.length > 1 && isBlank(lines.at(-1)!)) lines.pop();
  const first = lines.findIndex((l) => !isBlank(l));
  const blocks = new Blocks(lines.slice(Math.max(0, first)), reading, 0, o.cut ?? false).read();
  return { blocks, steps: reading.steps };
}

const isBlank = (line: string | undefined): boolean => line?.trim() === '';

/** A line that begins an item of a list. */
interface Start {
  indent: number;
  marker: string;
  text: string;
}

class Blocks<P extends Named> {
  #lines: string[];
  #reading: Reading<P>;
  #depth: number;
  #cut: boolean;
  #all: Block<P>[] = [];
  /** Lines of text that are not in a block yet. */
  #text: string[] = [];
  /** Of each line, the longest run of backticks that ends it or a later one. */
  #fences: number[] = [];

  constructor(lines: string[], reading: Reading<P>, depth: number, cut: boolean) {
    this.#lines = lines;
    this.#reading = reading;
    this.#depth = depth;
    this.#cut = cut;
  }

  read(): Block<P>[] {
    const lines = this.#lines;
    for (let i = lines.length - 1; i >= 0; i--) this.#fences[i] = Math.max(this.#ticks(lines[i]!), this.#fences[i + 1] ?? 0);
    for (let i = 0; i < lines.length; ) {
      const next = this.#block(i);
      if (next === i) this.#text.push(lines[i++]!);
      else i = next;
    }
    this.#flush(true);
    return this.#all;
  }

  /** Reads the block that begins with a line, if it is not text, and gives the line after it. */
  #block(i: number): number {
    const line = this.#lines[i]!;
    this.#reading.steps += line.length + 1;
    if (line.startsWith('```')) return this.#code(i);
    if (line.startsWith('> ')) return this.#quote(i);
    const table = this.#table(i);
    if (table > i) return table;
    return startOf(line) ? this.#list(i) : i;
  }

  #push(block: Block<P>): void {
    this.#flush(false);
    this.#all.push(block);
  }

  /** Lines of text become a block. One blank line beside another block is the space between them. */
  #flush(last: boolean): void {
    const lines = this.#text;
    this.#text = [];
    if (this.#all.length > 0 && isBlank(lines[0])) lines.shift();
    if (!last && isBlank(lines.at(-1))) lines.pop();
    if (lines.length === 0 && (this.#all.length > 0 || !last)) return;
    this.#all.push({ kind: 'text', lines: lines.map((line, i) => readLine(line, this.#reading, { cut: this.#cut && last && i === lines.length - 1 })) });
  }

  /** How many backticks end a line: three or more, else 0. */
  #ticks(line: string): number {
    const end = line.trimEnd().length;
    let from = end;
    while (line[from - 1] === '`') from--;
    this.#reading.steps += line.length - from;
    return end - from >= 3 ? end - from : 0;
  }

  /**
   * Code between fences. The last one may also end the last line of the code. Without it all
   * that follows is code, if the first one stands alone.
   */
  #code(i: number): number {
    const lines = this.#lines;
    const [, fence, info] = /^(`+)(.*)$/.exec(lines[i]!)!;
    const length = fence!.length;
    if (info!.includes('`')) return i;
    const alone = /^[\w+#.-]{0,32}\s*$/.test(info!);
    const closed = (this.#fences[i + 1] ?? 0) >= length;
    if (!closed && !(alone && i + 1 < lines.length)) return i;
    const code = alone ? [] : [info!.replace(/^ /, '')];
    let j = i + 1;
    for (; j < lines.length; j++) {
      const line = lines[j]!;
      this.#reading.steps += line.length + 1;
      const ticks = this.#ticks(line);
      if (ticks < length) {
        code.push(line);
        continue;
      }
      const rest = line.trimEnd().slice(0, -ticks);
      if (rest.trim() !== '') code.push(rest);
      j++;
      break;
    }
    if (code.every(isBlank)) {
      for (let k = i; k < j; k++) this.#text.push(lines[k]!);
      return j;
    }
    const language = alone ? info!.trim() : '';
    this.#push({ kind: 'code', text: code.join('\n'), ...(language && { language }) });
    return j;
  }

  /** Lines that begin with "> ", and those of > alone after them. */
  #quote(i: number): number {
    const lines = this.#lines;
    if (this.#depth >= maxDepth || isBlank(lines[i]!.slice(2))) return i;
    const own: string[] = [];
    let j = i;
    for (; j < lines.length && (lines[j]!.startsWith('> ') || lines[j]!.trimEnd() === '>'); j++) {
      own.push(lines[j]!.slice(2));
      this.#reading.steps += lines[j]!.length + 1;
    }
    while (isBlank(own.at(-1))) own.pop();
    this.#push({ kind: 'quote', blocks: new Blocks(own, this.#reading, this.#depth + 1, this.#cut && j === lines.length).read() });
    return j;
  }

  /** A table stays as typed, in letters of one width. */
  #table(i: number): number {
    const lines = this.#lines;
    const rule = lines[i + 1];
    if (!lines[i]!.includes('|') || !rule || !/^[\s|:-]*$/.test(rule) || !rule.includes('|') || !rule.includes('---')) return i;
    let j = i + 2;
    while (lines[j]?.includes('|')) j++;
    const text = lines.slice(i, j).join('\n');
    this.#reading.steps += text.length;
    this.#push({ kind: 'code', text });
    return j;
  }

  /** Two items or more, each on a line; further lines of an item are indented. */
  #list(i: number): number {
    const lines = this.#lines;
    const starts: (Start & { more: string[] })[] = [];
    let j = i;
    for (; j < lines.length; j++) {
      const line = lines[j]!;
      this.#reading.steps += line.length + 1;
      const start = startOf(line);
      if (start && (starts.length > 0 || start.indent < 4)) starts.push({ ...start, more: [] });
      else if (starts.length > 0 && /^(?: {2}|\t)\s*\S/.test(line)) starts.at(-1)!.more.push(line.trimStart());
      else break;
    }
    if (starts.length < 2) return i;
    const bullets = starts.every(isPlainItem);
    const indents: number[] = [];
    const items = starts.map(({ indent, marker, text, more }): Item<P> => {
      while (indents.length > 1 && indents.at(-1)! > indent) indents.pop();
      if (indents.length === 0 || (indent > indents.at(-1)! + 1 && indents.length < maxDepth)) indents.push(indent);
      return {
        marker: bullets && '-*'.includes(marker) ? '•' : marker,
        level: indents.length - 1,
        lines: [text, ...more].map((line) => readLine(line, this.#reading)),
      };
    });
    this.#push({ kind: 'list', items });
    return j;
  }
}

function startOf(line: string): Start | undefined {
  const match = /^([ \t]*)([-*+•]|\d{1,9}[.)])[ \t](?=[ \t]*\S)/.exec(line);
  if (!match) return undefined;
  const [all, indent, marker] = match;
  return { indent: indent!.replaceAll('\t', '    ').length, marker: marker!, text: line.slice(all.length) };
}

/** Is its dash or star a bullet? It may also be a minus, a part of a sum, or stand beside a plus. */
const isPlainItem = ({ marker, text }: Start): boolean =>
  marker !== '+' && (!'-*'.includes(marker) || (!/^\s*(?:[\p{N}\p{Sc}.,°%+=<>|±×÷/-]|~(?!~))/u.test(text) && !(marker === '*' && /[^*]\*$/.test(text))));

/** The users whom it shows as mentions, in order. */
export function mentionsIn<P extends Named>(blocks: readonly Block<P>[]): P[] {
  const inLine = (inlines: readonly Inline<P>[]): P[] =>
    inlines.flatMap((i) => (i.kind === 'mention' ? [i.person] : 'inlines' in i ? inLine(i.inlines) : []));
  return blocks.flatMap((b) => {
    if (b.kind === 'text') return b.lines.flatMap(inLine);
    if (b.kind === 'quote') return mentionsIn(b.blocks);
    return b.kind === 'list' ? b.items.flatMap((item) => item.lines.flatMap(inLine)) : [];
  });
}
