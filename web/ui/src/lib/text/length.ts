// How long texts are for the server, which counts bytes of UTF-8.

const encoder = new TextEncoder();

export const utf8Length = (s: string): number => encoder.encode(s).length;

/** The server's limit for a message, and what of a frame is left for it, in bytes. */
const maxBody = 16 * 1024;
const maxInFrame = 56 * 1024;

/**
 * By how many bytes a message is too long; 0 if it is not. In a frame a control character
 * takes six, so that a message of many can be too long for that alone.
 */
export function excess(body: string): number {
  if (body.length * 3 <= maxBody) return 0; // the usual case needs no counting: neither can be reached
  return Math.max(0, utf8Length(body) - maxBody, utf8Length(JSON.stringify(body)) - maxInFrame);
}
