// Keys that an input method uses while it composes a word.

/**
 * Is a key meant for the input method? Safari ends the composition first and then sends the
 * Enter that ended it, with isComposing false: only the key code 229 tells.
 */
export const isComposing = (e: KeyboardEvent): boolean => e.isComposing || e.keyCode === 229;

/**
 * Keeps such keys from every handler of the page, and Escape from closing a dialog or a menu.
 * Invariant: no key handler sees a key that an input method uses, so none has to check.
 */
export function guardComposing(on: EventTarget): void {
  const guard = (e: Event): void => {
    if (!isComposing(e as KeyboardEvent)) return;
    e.stopImmediatePropagation();
    if ((e as KeyboardEvent).key === 'Escape') e.preventDefault();
  };
  // On the way down from the window: before any handler.
  for (const type of ['keydown', 'keypress', 'keyup']) on.addEventListener(type, guard, { capture: true });
}
