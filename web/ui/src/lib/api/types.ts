// The shapes of the public contract that this interface uses. Times are RFC 3339 in UTC.

export interface User {
  id: string;
  username: string;
  display_name: string;
  role: 'admin' | 'member';
  /** The account was deleted, and its names are gone. */
  deleted?: boolean;
}

/** What becomes of the messages of users who delete their account. */
export type DeletionPolicy = 'choose' | 'keep' | 'erase' | 'off';

/** What others get to know of somebody; only oneself is told which. */
export interface Privacy {
  /** What one has read; without, one does not see it of them either. */
  read_receipts: boolean;
  show_last_seen: boolean;
}

/** What notifications tell: who wrote what, or that there is something. */
export type PushContent = 'full' | 'generic';

/** A person as they see themselves. */
export type Profile = User & Privacy & {
  push_content: PushContent;
  /** Whether they can make invites. */
  may_invite: boolean;
  account_deletion: DeletionPolicy;
};

/** Who can make an account: who is invited, anybody, or nobody by themselves. */
export type SignupMode = 'invite' | 'open' | 'closed';

export interface Session {
  id: string;
  /** The one this page uses. */
  current: boolean;
  /** What the browser called itself; may be empty. */
  user_agent: string;
  created_at: string;
  /** To within an hour. */
  last_used_at: string;
  /** Where it was last used from; may be empty. */
  last_address: string;
}

/** Where one is reached while no page is open. */
export interface Device {
  id: string;
  kind: 'webpush' | 'fcm';
  /** Of an app. */
  platform?: 'android' | 'ios' | 'web';
  /** It belongs to the session of this page. */
  current: boolean;
  /** What the browser called itself when it signed in; may be empty. */
  user_agent: string;
  created_at: string;
  /** When the push service last took something for it. */
  last_success_at?: string;
  last_failure_at?: string;
  /** Why it did not, in words of the server. */
  last_failure?: string;
}

/** What came of a test. */
export interface Tested {
  ok: boolean;
  detail?: string;
  /** The push service knows the device no more, and it was removed. */
  removed?: boolean;
}

export interface Invite {
  code: string;
  url: string;
  expires_at: string;
}

export type MemberRole = 'owner' | 'admin' | 'member';

export interface Member {
  user_id: string;
  role: MemberRole;
  username: string;
  display_name: string;
  deleted?: boolean;
}

/** What messages are changed by; such entries are no rows of their own. */
export type ActionKind = 'edit' | 'delete' | 'reaction_added' | 'reaction_removed' | 'messages_erased';

/** What people see as a line between the messages. */
export type SystemKind = 'created' | 'member_added' | 'member_removed' | 'member_left' | 'role_changed' | 'title_changed';

export type EntryKind = 'message' | ActionKind | SystemKind;

export interface Entry {
  conversation_id: string;
  /** The place in the conversation: 1, 2, 3, … without a gap. */
  seq: number;
  kind: EntryKind;
  /** Who wrote it or did it. */
  sender_id: string;
  client_id?: string;
  created_at: string;
  /** Of a message, or the new text of an edit. */
  body?: string;
  /** Of a message: the seq of the one it answers. */
  reply_to?: number;
  /** Of a message or an edit: the members it names. */
  mentions?: string[];
  /** Of an edit, a deletion, a reaction: the seq of the message. */
  target_seq?: number;
  emoji?: string;
  /** Of whom a membership entry speaks. */
  user_id?: string;
  /** Of created: the first members. */
  user_ids?: string[];
  role?: MemberRole;
  title?: string;
  /** A deleted message keeps its place, without its text. */
  deleted?: boolean;
  /** Of a deletion and of the message it deleted: an admin of the server removed it. */
  by_admin?: boolean;
}

export interface Reaction {
  emoji: string;
  user_ids: string[];
}

/** The message that another one answers, in short. */
export interface Quote {
  seq: number;
  sender_id: string;
  body: string;
  deleted: boolean;
  /** The ids of the users whom the message mentions. Older servers do not say. */
  mentions?: string[];
}

/** A message or a system entry as people see it, with what later entries did to it. */
export interface Message extends Entry {
  edited_at?: string;
  reactions?: Reaction[];
  quote?: Quote;
}

/** Of what one is told while one is away. */
export type Notify = 'all' | 'mentions' | 'none';

export interface Conversation {
  id: string;
  kind: 'direct' | 'group';
  title: string;
  /** The user's own. */
  role: MemberRole;
  /** The user left the group or was removed: all of this is as of then. */
  former?: boolean;
  /** Whoever is added to the group sees what was said before. */
  share_history: boolean;
  last_seq: number;
  /** When something to see was added: edits and reactions do not move it. */
  last_entry_at: string;
  members: Member[];
  member_count: number;
  /** Messages of others after read_seq. */
  unread: number;
  /** Those among them that mention oneself. */
  unread_mentions: number;
  delivered_seq: number;
  read_seq: number;
  notify: Notify;
  /** Until when one is told of nothing. */
  muted_until: string | null;
  /** Of a direct one: a side blocks the other, so neither can write. */
  blocked: boolean;
  /** False while the other side's first messages wait for the user's answer. */
  accepted: boolean;
  /** It is off the list until the next entry. */
  archived: boolean;
  /** Up to where the other one has it; in a group, everybody. */
  others_delivered_seq: number;
  /** Up to where the other one has read it, if both tell; 0 in a group. */
  others_read_seq: number;
  last_message: Message | null;
}

export interface Page {
  messages: Message[];
  has_before: boolean;
  has_after: boolean;
  /** Up to this seq everything that happened is folded in. */
  last_seq: number;
}

export interface Entries {
  entries: Entry[];
  last_seq: number;
}

/** Where a message was stored. */
export interface Sent {
  conversation_id: string;
  seq: number;
  client_id: string;
  created_at: string;
}

export interface Hello {
  user_id: string;
  session_id: string;
  /** Changes when the database was restored: what was held is then void. */
  epoch: string;
  heartbeat_s: number;
  server_version: string;
}

export interface Missed {
  /** Those that the client does not know or that went on. */
  conversations: Conversation[];
  /** What is missing in those it keeps, in order within each. */
  entries: Entry[];
  /** Those that entries does not bring to their last_seq. */
  more: string[];
  /** Those of which the client holds entries that are not in the log. */
  reset?: string[];
}

/** What tells an entry from every other that may ever have its seq. */
export interface EntryMark {
  seq: number;
  created_at: string;
}

export interface Receipt {
  conversation_id: string;
  /** Whose marks they are; absent, where everybody in a group has it that far. */
  user_id?: string;
  delivered_seq: number;
  read_seq: number;
}

/** How far a message has got with one of the others; times as far as they are known. */
export interface Reached {
  user_id: string;
  delivered: boolean;
  /** Never, where one of the two does not tell. */
  read: boolean;
  delivered_at?: string;
  read_at?: string;
}

export interface PresenceState {
  user_id: string;
  online: boolean;
  /** Null while online, where it is hidden, and of who was never here. */
  last_seen: string | null;
}

/** What the server says unasked, by type. */
export interface Events {
  entry: Entry;
  /** Entries up to last_seq were not sent, because this client read too slowly. */
  behind: { conversation_id: string; last_seq: number };
  conversation: Conversation;
  receipt: Receipt;
  presence: PresenceState;
  typing: { conversation_id: string; user_id: string };
  /** The user blocks a person from now on, or no longer. */
  block: { user_id: string; blocked: boolean };
  user: User;
  /** A new sign-in to the user's account. */
  session: { id: string; address: string };
  report: ReportEvent;
}

/** To admins, how many reports are open; to a reporter, the decision. */
export interface ReportEvent {
  id: string;
  state: 'open' | 'closed';
  open?: number;
  decision?: 'removed' | 'disabled' | 'dismissed';
  answer?: string;
}
