const hues = [186, 16, 262, 135, 340, 42, 214, 300];

/** The hue of somebody's colour: always the same for the same person. */
export function hueOf(id: string): number {
  let sum = 0;
  for (const char of id) sum = (sum * 31 + char.codePointAt(0)!) >>> 0;
  return hues[sum % hues.length]!;
}
