import type { Conversation, Message } from '../api/types';

/** The reactions that are one click away. */
export const quickEmoji = ['👍', '❤️', '😂', '😮', '😢', '🙏'];

/** What one can do with a message. */
export interface Reach {
  react: boolean;
  reply: boolean;
  edit: boolean;
  copyText: boolean;
  copyLink: boolean;
  /** Who has it, and who has read it. */
  info: boolean;
  delete: boolean;
  report: boolean;
}

/** Open: it is stored, and one is still in the conversation. */
export function reachOf(m: Message, c: Conversation, me: string, open: boolean): Reach {
  const alive = m.kind === 'message' && !m.deleted;
  const mine = m.sender_id === me;
  const rules = c.kind === 'group' && c.role !== 'member';
  const writable = open && alive && !c.blocked; // what the user wrote can still be deleted
  return {
    react: writable,
    reply: writable,
    edit: writable && mine,
    copyText: alive,
    copyLink: open && m.kind === 'message',
    info: open && alive && (mine || c.kind === 'group'),
    delete: open && alive && (mine || rules),
    report: alive && !mine,
  };
}
