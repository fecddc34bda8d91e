// The server's time. Whether a mute is over, or how long ago something was, is not for the
// device's clock to decide: it may be wrong by hours.

/** So many milliseconds the server is ahead of this device. */
let ahead = 0;
let onChange = (): void => {};

/** Differences up to this, in milliseconds, are the way of the answer and the header's whole seconds. */
const tolerance = 2_000;

export const serverNow = (): number => Date.now() + ahead;

/** Takes the Date header of an answer of the server. */
export function noteServerDate(date: string | null): void {
  const at = Date.parse(date ?? '');
  if (Number.isNaN(at)) return;
  const difference = at + 500 - Date.now();
  const next = Math.abs(difference) <= tolerance ? 0 : difference;
  if (Math.abs(next - ahead) <= tolerance) return;
  ahead = next;
  onChange();
}

export function whenClockChanges(f: () => void): void {
  onChange = f;
}
