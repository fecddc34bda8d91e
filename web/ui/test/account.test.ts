import { describe, expect, test } from 'vitest';
import { passwordHint } from '../src/lib/account';
import { t } from '../src/lib/i18n';

describe('the hint of a new password', () => {
  const { passwordHint: short, passwordWeak, passwordFair, passwordStrong } = t.account;
  test.each([
    ['', short],
    ['abcdefg', short],
    ['aaaaaaaaaaaaaaaa', passwordWeak],
    ['12345678901', passwordWeak],
    ['abababababababab', passwordWeak],
    ['hunter24', passwordFair],
    ['correct horse battery', passwordStrong],
    ['Grüße aus Zürich!', passwordStrong],
  ])('%j: %s', (password, hint) => expect(passwordHint(password)).toBe(hint));
});
