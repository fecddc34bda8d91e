// Does somebody look at this page? Only then is what it shows read.

/** On a phone what is visible is what is looked at; browsers there say little of focus. */
const oneWindow = matchMedia('(hover: none) and (pointer: coarse)').matches;

/**
 * It is, in the window that is worked in. A window that only happens to be visible, beside
 * the one that is worked in or on another screen, may be looked at or not: what is taken for
 * read and was not seen is missed, and its author is told something untrue; what was seen
 * and still counts as new is gone with one click.
 */
export const looking = (): boolean => document.visibilityState === 'visible' && (oneWindow || document.hasFocus());

/** Tells when that may have changed, until the function it gives is called. */
export function whenLooking(tell: () => void): () => void {
  const over = new AbortController();
  const { signal } = over;
  document.addEventListener('visibilitychange', tell, { signal });
  addEventListener('focus', tell, { signal });
  addEventListener('blur', tell, { signal });
  return () => over.abort();
}
