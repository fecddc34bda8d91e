import { Lexer, Tokenizer, type MarkedToken, type Token, type Tokens } from 'marked';
import { cut } from './graphemes';
import { split, type Named } from './mentions';

// What a message's text becomes: a tree of a few kinds of nodes that components render.
// There is no way from here to HTML.

/** Somebody whom a message names, as the reader is shown them. */
export interface Mentioned extends Named {
  name: string;
  /** The reader. */
  me: boolean;
}

export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'mention'; person: Mentioned }
  | { kind: 'code'; text: string }
  | { kind: 'break' }
  | { kind: 'strong'; inlines: Inline[] }
  | { kind: 'em'; inlines: Inline[] }
  | { kind: 'del'; inlines: Inline[] }
  | { kind: 'link'; href: string; inlines: Inline[] };

export type Block =
  | { kind: 'text'; inlines: Inline[] }
  | { kind: 'code'; text: string }
  | { kind: 'quote'; blocks: Block[] }
  | { kind: 'list'; start: number | null; items: Block[][] };

/** Nesting beyond this is shown as it was typed. */
const maxDepth = 8;

// Chat is not a document: what nobody means as markup in a message stays text.
class ChatTokenizer extends Tokenizer {
  override code(): undefined {} // by indentation; fences work
  override heading(): undefined {}
  override lheading(): undefined {}
  override hr(): undefined {}
  override table(): undefined {}
  override html(): undefined {}
  override tag(): undefined {}
  override def(): undefined {}
  override reflink(): undefined {}

  /** Only lines that begin with > belong to a quote: the line after it is the answer. */
  override blockquote(src: string): Tokens.Blockquote | undefined {
    const raw = /^(?: {0,3}>[^\n]*(?:\n|$))+/.exec(src)?.[0];
    if (!raw) return undefined;
    const text = raw.replace(/^ {0,3}> ?/gm, '').trimEnd();
    return { type: 'blockquote', raw, text, tokens: this.lexer.blockTokens(text) };
  }
}

/** Could the text hold markup at all? Most messages do not, and skip the lexer. */
const markup = /[*_~`[<\\]|^[ \t]*(?:>|[-+]\s|\d+[.)]\s)|:\/\/|www\.|@/m;

/**
 * Texts made to be slow: markers by the thousand make the lexer quadratic, deep nesting
 * overflows its stack. They are shown as they were typed.
 */
function hostile(text: string): boolean {
  return (text.match(/[*_~[\]<]/g)?.length ?? 0) > 2000 || /^[ \t]*(?:(?:>|[-*+]|\d+[.)])[ \t]*){12}/m.test(text);
}

/** Never throws: what cannot be understood is text. People are those whom it may name. */
export function parse(text: string, people: readonly Mentioned[] = []): Block[] {
  const blocks = parseMarkup(text);
  return people.length > 0 ? blocks.map((b) => nameInBlock(b, people)) : blocks;
}

function nameInBlock(b: Block, people: readonly Mentioned[]): Block {
  switch (b.kind) {
    case 'text':
      return { ...b, inlines: nameIn(b.inlines, people) };
    case 'quote':
      return { ...b, blocks: b.blocks.map((c) => nameInBlock(c, people)) };
    case 'list':
      return { ...b, items: b.items.map((item) => item.map((c) => nameInBlock(c, people))) };
    default:
      return b;
  }
}

function nameIn(inlines: Inline[], people: readonly Mentioned[]): Inline[] {
  return inlines.flatMap((i): Inline[] => {
    if (i.kind === 'text') {
      return split(i.text, people).map((part) => (typeof part === 'string' ? { kind: 'text', text: part } : { kind: 'mention', person: part }));
    }
    return i.kind === 'strong' || i.kind === 'em' || i.kind === 'del' ? [{ ...i, inlines: nameIn(i.inlines, people) }] : [i];
  });
}

function parseMarkup(text: string): Block[] {
  if (!markup.test(text) || hostile(text)) return [plain(text)];
  try {
    const lexer = new Lexer({ gfm: true, breaks: true, tokenizer: new ChatTokenizer() });
    const blocks = toBlocks(lexer.lex(text), 0);
    return blocks.length > 0 ? blocks : [plain(text)];
  } catch {
    return [plain(text)];
  }
}

/** Text as it was typed. Line breaks are kept by the style sheet. */
const plain = (text: string): Block => ({ kind: 'text', inlines: [{ kind: 'text', text }] });

function toBlocks(tokens: Token[], depth: number): Block[] {
  const blocks: Block[] = [];
  let gap = true; // a blank line, or the beginning: text starts a paragraph
  const addText = (inlines: Inline[]): void => {
    const last = blocks.at(-1);
    if (!gap && last?.kind === 'text') last.inlines.push({ kind: 'break' }, ...inlines);
    else blocks.push({ kind: 'text', inlines });
    gap = false;
  };
  for (const token of tokens as MarkedToken[]) {
    if (token.type === 'space') {
      gap = true;
    } else if (token.type === 'code') {
      blocks.push({ kind: 'code', text: token.text });
    } else if (token.type === 'blockquote' && depth < maxDepth) {
      blocks.push({ kind: 'quote', blocks: toBlocks(token.tokens, depth + 1) });
    } else if (token.type === 'list' && depth < maxDepth) {
      blocks.push({
        kind: 'list',
        start: token.ordered ? Number(token.start) || 0 : null,
        items: token.items.map((item) => toBlocks(item.tokens, depth + 1)),
      });
    } else if (token.type === 'checkbox') {
      addText([{ kind: 'text', text: token.raw }]);
      continue; // its text follows on the same line
    } else if ((token.type === 'paragraph' || token.type === 'text') && token.tokens) {
      const inlines = toInlines(token.tokens, 0);
      const last = blocks.at(-1);
      if (last?.kind === 'text' && !gap && endsOpen(last.inlines)) last.inlines.push(...inlines);
      else addText(inlines);
    } else {
      addText([{ kind: 'text', text: token.raw.replace(/\n+$/, '') }]);
    }
  }
  return blocks;
}

/** Ends in a checkbox, after which there is no line break. */
function endsOpen(inlines: Inline[]): boolean {
  const last = inlines.at(-1);
  return last?.kind === 'text' && /^\[[ xX]\] $/.test(last.text);
}

function toInlines(tokens: Token[], depth: number): Inline[] {
  const inlines: Inline[] = [];
  const addText = (text: string): void => {
    const last = inlines.at(-1);
    if (last?.kind === 'text') last.text += text;
    else inlines.push({ kind: 'text', text });
  };
  for (const token of tokens as MarkedToken[]) {
    switch (token.type) {
      case 'strong':
      case 'em':
      case 'del':
        if (depth < maxDepth) inlines.push({ kind: token.type, inlines: toInlines(token.tokens, depth + 1) });
        else addText(token.raw);
        break;
      case 'codespan':
        inlines.push({ kind: 'code', text: token.text });
        break;
      case 'br':
        inlines.push({ kind: 'break' });
        break;
      case 'link':
      case 'image': {
        const href = safeHref(token.href);
        if (href === null) addText(token.raw);
        else if (token.type === 'image') inlines.push({ kind: 'link', href, inlines: [{ kind: 'text', text: token.text || href }] });
        else inlines.push({ kind: 'link', href, inlines: toInlines(token.tokens, depth + 1) });
        break;
      }
      case 'text':
      case 'escape':
        addText(token.text);
        break;
      default:
        addText(token.raw);
    }
  }
  return inlines;
}

/** The address, if it is one that a click may open: never script, never relative to us. */
export function safeHref(href: string): string | null {
  try {
    const url = new URL(href);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** The text on one line without its markup, for a list. At most 200 characters. */
export function preview(text: string, people: readonly Mentioned[] = []): string {
  const flatInlines = (inlines: Inline[]): string =>
    inlines
      .map((i) => {
        if (i.kind === 'text' || i.kind === 'code') return i.text;
        if (i.kind === 'mention') return `@${i.person.name}`;
        return i.kind === 'break' ? ' ' : flatInlines(i.inlines);
      })
      .join('');
  // What is quoted was said before; what counts is the answer.
  const answer = (blocks: Block[]): Block[] => {
    const own = blocks.filter((b) => b.kind !== 'quote');
    return own.length > 0 ? own : blocks;
  };
  const flat = (blocks: Block[]): string =>
    answer(blocks)
      .map((b) => {
        if (b.kind === 'text') return flatInlines(b.inlines);
        if (b.kind === 'code') return b.text;
        return b.kind === 'quote' ? flat(b.blocks) : b.items.map(flat).join(' ');
      })
      .join(' ');
  return cut(flat(parse(cut(text, 400), people)).replace(/\s+/g, ' ').trim(), 200);
}

const emoji = /^[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u{fe0f}\u{200d}\s]+$/u;

/** Nothing but one to three emoji, which are shown large. */
export function isJumbo(text: string): boolean {
  if (text.length > 40 || !emoji.test(text)) return false;
  const count = [...new Intl.Segmenter().segment(text.replace(/\s/g, ''))].length;
  return count >= 1 && count <= 3;
}
