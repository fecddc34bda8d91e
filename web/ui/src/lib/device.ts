// A browser's description of itself, as little of it as a person needs to know it again.

const browsers: [RegExp, string][] = [
  [/Edg(?:e|A|iOS)?\//, 'Edge'],
  [/OPR\//, 'Opera'],
  [/Firefox\/|FxiOS\//, 'Firefox'],
  [/Chrome\/|CriOS\/|Chromium\//, 'Chrome'],
  [/Safari\//, 'Safari'],
];

const systems: [RegExp, string][] = [
  [/iPhone|iPad/, 'iOS'],
  [/Android/, 'Android'],
  [/Windows/, 'Windows'],
  [/Mac OS X|Macintosh/, 'macOS'],
  [/CrOS/, 'ChromeOS'],
  [/Linux/, 'Linux'],
];

const first = (list: [RegExp, string][], text: string): string => list.find(([re]) => re.test(text))?.[1] ?? '';

/** Browser and system. A program of another kind is called what it calls itself first; either may be empty. */
export function deviceOf(userAgent: string): { browser: string; system: string } {
  const itself = /^(?!Mozilla\/)[^\s/]{1,40}/.exec(userAgent)?.[0] ?? '';
  return { browser: first(browsers, userAgent) || itself, system: first(systems, userAgent) };
}
