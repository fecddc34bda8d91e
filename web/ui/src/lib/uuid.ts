let lastMs = 0;
let counter = 0;

/**
 * A UUID of version 7. Those made by one page sort in the order they were made, also
 * within a millisecond: a counter sits where rand_a is.
 */
export function uuidv7(now = Date.now()): string {
  if (now > lastMs) {
    lastMs = now;
    counter = 0;
  } else if (++counter > 0xfff) {
    lastMs++; // run ahead of the clock rather than go back
    counter = 0;
  }
  const b = crypto.getRandomValues(new Uint8Array(16));
  const v = new DataView(b.buffer);
  v.setUint16(0, Math.floor(lastMs / 2 ** 32));
  v.setUint32(2, lastMs % 2 ** 32);
  v.setUint16(6, 0x7000 | counter);
  v.setUint8(8, (v.getUint8(8) & 0x3f) | 0x80);
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
