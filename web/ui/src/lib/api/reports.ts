import { call } from './http';
import type { Message, User } from './types';

export type Reason = 'spam' | 'harassment' | 'illegal' | 'other';
export type Decision = 'removed' | 'disabled' | 'dismissed';
export type ReportState = 'open' | 'closed';

/** A report as its reporter sees it. */
export interface OwnReport {
  id: string;
  conversation_id: string;
  seq: number;
  state: ReportState;
  reason: Reason;
  comment: string;
  created_at: string;
  decision?: Decision;
  answer?: string;
  decided_at?: string;
}

/** A report as an admin sees it. */
export interface Report extends OwnReport {
  reporter: User;
  sender: User;
  /** The text as of the report; empty after the decision. */
  body: string;
  /** The sender deleted their account, and the text is erased. */
  erased?: boolean;
  context: Message[];
  decided_by?: User;
}

interface Page<T> {
  reports: T[];
  next_cursor?: string;
}

const query = (state: ReportState, limit: number, cursor?: string): string =>
  `?state=${state}&limit=${limit}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`;

export const send = (conversation: string, seq: number, reason: Reason, comment: string) =>
  call<{ id: string }>('POST', `conversations/${conversation}/messages/${seq}/report`, { reason, comment });
export const list = (state: ReportState, cursor?: string) =>
  call<Page<Report> & { open: number }>('GET', `reports${query(state, 20, cursor)}`);
export const countOpen = async (): Promise<number> => (await call<{ open: number }>('GET', `reports${query('open', 1)}`)).open;
export const own = (cursor?: string) =>
  call<Page<OwnReport>>('GET', `reports/mine${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ''}`);
export const decide = (id: string, decision: Decision, answer: string) => call<void>('PATCH', `reports/${id}`, { decision, answer });
