// The shapes of the public contract that this interface uses. Times are RFC 3339 in UTC.

export interface User {
  id: string;
  username: string;
  display_name: string;
  role: 'admin' | 'member';
}

export interface Session {
  id: string;
  /** The one this page uses. */
  current: boolean;
  /** What the browser called itself; may be empty. */
  user_agent: string;
  created_at: string;
  /** To within an hour. */
  last_used_at: string;
}

export interface Invite {
  code: string;
  url: string;
  expires_at: string;
}

export interface Member {
  user_id: string;
  role: 'owner' | 'admin' | 'member';
  username: string;
  display_name: string;
}

export type EntryKind = 'message' | 'created';

export interface Entry {
  conversation_id: string;
  /** The place in the conversation: 1, 2, 3, … without a gap. */
  seq: number;
  kind: EntryKind;
  sender_id: string;
  client_id?: string;
  created_at: string;
  body?: string;
  reply_to?: number;
  user_ids?: string[];
}

/** An entry as people see it, with what later entries did to it. */
export interface Message extends Entry {
  deleted?: boolean;
  edited_at?: string;
}

export interface Conversation {
  id: string;
  kind: 'direct' | 'group';
  title: string;
  last_seq: number;
  last_entry_at: string;
  members: Member[];
  member_count: number;
  /** Messages of others after read_seq. */
  unread: number;
  delivered_seq: number;
  read_seq: number;
  last_message: Message | null;
}

export interface Page {
  messages: Message[];
  has_before: boolean;
  has_after: boolean;
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
}

export interface Receipt {
  conversation_id: string;
  user_id: string;
  delivered_seq: number;
  read_seq: number;
}

/** What the server says unasked, by type. */
export interface Events {
  entry: Entry;
  conversation: Conversation;
  receipt: Receipt;
}
