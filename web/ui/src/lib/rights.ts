import type { MemberRole } from './api/types';
import { t } from './i18n';
import { visible } from './text/identity';

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
  if (!visible(title)) return t.account.missing;
  return [...title.trim()].length > 200 ? t.newGroup.nameLong : undefined;
}
