import { t } from './i18n';

// What the server checks as well, said before it is asked.

export function usernameProblem(name: string): string | undefined {
  if (name === '') return t.account.missing;
  return /^[a-z0-9._-]{2,32}$/.test(name) ? undefined : t.account.usernameForm;
}

export function passwordProblem(password: string): string | undefined {
  if (password === '') return t.account.missing;
  const length = [...password].length;
  if (length < 8) return t.account.passwordShort;
  return length > 256 ? t.account.passwordLong : undefined;
}

/** A username to begin with, from how somebody is called: Ada Lovelace -> ada.lovelace. */
export function usernameFrom(name: string): string {
  return name
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '.')
    .replace(/^\.|\.$/g, '')
    .slice(0, 32);
}
