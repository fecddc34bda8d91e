import { describe, expect, test } from 'vitest';
import { formatsOf } from '../src/lib/time';

const night = new Date(2026, 10, 9, 0, 15);
const noon = new Date(2026, 10, 9, 14, 5);

describe('dates and times have English words, in the order and with the clock of the browser’s first language', () => {
  test.each([
    ['de', '00:15', '14:05', '9.11.26', 'Monday 9 November 2026', '9 Nov 2026, 00:15'],
    ['de-CH', '00:15', '14:05', '9.11.26', 'Monday 9 November 2026', '9 Nov 2026, 00:15'],
    ['fr', '00:15', '14:05', '9/11/26', 'Monday 9 November 2026', '9 Nov 2026, 00:15'],
    ['es', '0:15', '14:05', '9/11/26', 'Monday 9 November 2026', '9 Nov 2026, 0:15'],
    ['ja', '0:15', '14:05', '26/11/9', 'Monday, 2026 November 9', '2026 Nov 9, 0:15'],
    ['zh-CN', '00:15', '14:05', '26/11/9', 'Monday, 2026 November 9', '2026 Nov 9, 00:15'],
    ['hu', '0:15', '14:05', '26.11.9', 'Monday, 2026 November 9', '2026 Nov 9, 0:15'],
    ['sv', '00:15', '14:05', '26-11-9', 'Monday 9 November 2026', '9 Nov 2026, 00:15'],
    ['ko', '12:15 AM', '2:05 PM', '26.11.9', 'Monday, 2026 November 9', '2026 Nov 9, 12:15 AM'],
    ['fa', '0:15', '14:05', '26/11/9', 'Monday 9 November 2026', '9 Nov 2026, 0:15'],
    ['th', '00:15', '14:05', '9/11/26', 'Monday 9 November 2026', '9 Nov 2026, 00:15'],
    ['bg', '0:15', '14:05', '9.11.26', 'Monday 9 November 2026', '9 Nov 2026, 0:15'],
    ['en-US', '12:15 AM', '2:05 PM', '11/9/26', 'Monday, November 9, 2026', 'Nov 9, 2026, 12:15 AM'],
    ['en-GB', '00:15', '14:05', '9/11/26', 'Monday 9 November 2026', '9 Nov 2026, 00:15'],
    ['en', '12:15 AM', '2:05 PM', '11/9/26', 'Monday, November 9, 2026', 'Nov 9, 2026, 12:15 AM'],
    ['de-u-hc-h12', '12:15 am', '2:05 pm', '9.11.26', 'Monday 9 November 2026', '9 Nov 2026, 12:15 am'],
  ])('%s', (language, early, late, numbers, words, medium) => {
    const f = formatsOf(language);
    const plain = (text: string): string => text.replace(/[\u202f\u00a0]/g, ' ');
    expect([f.clock(night), f.clock(noon), f.shortDate(night), f.dayMonthYear(night), f.medium(night)].map(plain)).toEqual([early, late, numbers, words, medium]);
    // Nothing of another script, and no word that is not English.
    for (const format of Object.values(f)) expect(format(noon)).toMatch(/^[\x20-\x7e\u202f]+$/);
  });

  test.each(['ar', 'he', 'hi', 'ru', 'tr', 'fi', 'da', 'lt', 'bn', 'my', 'mr-IN', 'sw', 'zh-TW', 'pt-BR', 'nb', 'cs', 'eo', 'tlh', 'zz-ZZ'])('%s has no word that is not English', (language) => {
    for (const format of Object.values(formatsOf(language))) expect(format(noon)).toMatch(/^[\x20-\x7e\u202f]+$/);
  });
});
