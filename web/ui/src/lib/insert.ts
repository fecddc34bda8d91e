// Text that the page puts into a box, as if it had been typed.

type Box = HTMLTextAreaElement | HTMLInputElement;

/**
 * Replaces a part of what is in a box and leaves the caret behind it. The box gets the focus
 * and says `input`, and the user can undo it.
 */
export function insertText(box: Box, text: string, from: number, to: number): void {
  box.focus();
  box.setSelectionRange(from, to);
  // Deprecated, but nothing else keeps the browser's list of what can be undone.
  if (document.execCommand('insertText', false, text)) return;
  box.setRangeText(text, from, to, 'end');
  box.dispatchEvent(new InputEvent('input', { bubbles: true, inputType: 'insertText', data: text }));
}

/**
 * Opens a modal dialog. Chromium forgets the caret of the composer behind it, so it is put
 * back when the dialog closes.
 */
export function showModal(dialog: HTMLDialogElement): void {
  const box = document.querySelector('textarea');
  const [from, to] = [box?.selectionStart ?? 0, box?.selectionEnd ?? 0];
  dialog.showModal();
  dialog.addEventListener('close', () => {
    if (box && box === document.activeElement && box.selectionEnd === 0) box.setSelectionRange(from, to);
  }, { once: true });
}
