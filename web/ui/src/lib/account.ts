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

/** A username to begin with, from how somebody is called: Ada Lovelace -> ada.lovelace. */
export function usernameFrom(name: string): string {
  return fold(name)
    .replace(/[^a-z0-9]+/g, '.')
    .replace(/^\.|\.$/g, '')
    .slice(0, 32);
}
