import type { MemberRole } from './api/types';
import { t } from './i18n';

// What the server decides in a group, known before it is asked: who may do what, and what a
// title may be.

/** Rename it, add people. */
export const mayManage = (mine: MemberRole): boolean => mine !== 'member';

/** Give and take roles, choose what those who come later see. */
export const mayOwn = (mine: MemberRole): boolean => mine === 'owner';

/** Owners remove anybody, admins those who are neither. */
export const mayRemove = (mine: MemberRole, theirs: MemberRole): boolean => mine === 'owner' || (mine === 'admin' && theirs === 'member');

export const roles: MemberRole[] = ['owner', 'admin', 'member'];

/** What is wrong with a title. */
export function groupTitleProblem(title: string): string | undefined {
  const length = [...title.trim()].length;
  if (length === 0) return t.account.missing;
  return length > 200 ? t.newGroup.nameLong : undefined;
}
