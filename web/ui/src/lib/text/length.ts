// How long texts are for the server, which counts bytes of UTF-8.

const encoder = new TextEncoder();

export const utf8Length = (s: string): number => encoder.encode(s).length;

/** The server's limit for a message, in bytes. */
const maxBody = 16 * 1024;
/** So much of a text, in code units, is counted as a reader counts it; more of it is estimated. */
const maxCounted = 10_000;

/** How many characters at its end make a message too long; 0 if it is not. */
export function excess(body: string): number {
  if (body.length * 3 <= maxBody) return 0; // the usual case needs no counting
  if (utf8Length(body) <= maxBody) return 0;
  // As much as fits, in whole code points.
  const { read } = encoder.encodeInto(body, new Uint8Array(maxBody));
  if (body.length - read > maxCounted || !('Segmenter' in Intl)) return [...body.slice(read)].length;
  const segments = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  // The character that the limit cuts goes as a whole.
  const { index } = segments.segment(body).containing(read)!;
  return [...segments.segment(body.slice(index))].length;
}

/** Half of a surrogate pair is no text: the server refuses it. */
export const wellFormed = (s: string): string => s.replace(/\p{Cs}/gu, '\ufffd');
