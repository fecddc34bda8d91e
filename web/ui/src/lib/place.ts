/** From the edges of the window, and from what it belongs to, in pixels. */
const margin = 8;
const gap = 4;

/**
 * Puts a popover that is shown beside what it belongs to: below it or above it, wherever
 * there is room, towards the middle of the window.
 */
export function placeBeside(popover: HTMLElement, at: DOMRect): void {
  const { offsetWidth: width, offsetHeight: height } = popover;
  const left = at.left + at.right > innerWidth ? at.right - width : at.left;
  const below = at.bottom + gap;
  const top = below + height + margin <= innerHeight ? below : at.top - gap - height;
  const within = (n: number, room: number): number => Math.max(margin, Math.min(n, room - margin));
  popover.style.left = `${within(left, innerWidth - width)}px`;
  popover.style.top = `${within(top, innerHeight - height)}px`;
}
