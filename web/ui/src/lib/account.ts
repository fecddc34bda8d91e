import { t } from './i18n';
import { fold } from './search';
import { visible } from './text/identity';

// What the server checks as well, said before it is asked.

export function usernameProblem(name: string): string | undefined {
  if (name === '') return t.account.missing;
  return /^[a-z0-9._-]{2,32}$/.test(name) ? undefined : t.account.usernameForm;
}

/** What is wrong with a name that others see. What can be seen and is refused all the same, the server says. */
export const nameProblem = (name: string): string | undefined => (visible(name) ? undefined : t.account.missing);

export function passwordProblem(password: string): string | undefined {
  if (password === '') return t.account.missing;
  const length = [...password].length;
  if (length < 8) return t.account.passwordShort;
  return length > 256 ? t.account.passwordLong : undefined;
}

/**
 * How hard a new password is to guess, in words. Characters that repeat or continue the one before
 * count for nothing. What is too common, the server says.
 */
export function passwordHint(password: string): string {
  const points = Array.from(password, (c) => c.codePointAt(0)!);
  if (points.length < 8) return t.account.passwordHint;
  const worth = points.filter((p, i) => i === 0 || Math.abs(p - points[i - 1]!) > 1).length;
  const different = new Set(points).size;
  if (worth < 8 || different < 5) return t.account.passwordWeak;
  return worth < 14 || different < 8 ? t.account.passwordFair : t.account.passwordStrong;
}

/** A username to begin with, from how somebody is called: Ada Lovelace -> ada.lovelace. */
export function usernameFrom(name: string): string {
  return fold(name)
    .replace(/[^a-z0-9]+/g, '.')
    .replace(/^\.|\.$/g, '')
    .slice(0, 32);
}
