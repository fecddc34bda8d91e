import type { Receipt } from '../api/types';

/** How far a message of one's own has got. */
export type Progress = 'sent' | 'delivered' | 'read';

/**
 * How far the others have one conversation, and have read it. It stands apart from the
 * conversation so that a mark that rises makes nothing be drawn anew but the ticks it changes.
 */
export class Marks {
  #delivered = $state(0);
  #read = $state(0);

  /** Marks only rise, whatever order they come in. */
  raise({ delivered_seq, read_seq }: Pick<Receipt, 'delivered_seq' | 'read_seq'>): void {
    this.#delivered = Math.max(this.#delivered, delivered_seq);
    this.#read = Math.max(this.#read, read_seq);
  }

  /** How far the message has got; tells: what the others have read is for oneself to know. */
  progress(seq: number, tells: boolean): Progress {
    if (tells && seq <= this.#read) return 'read';
    return seq <= this.#delivered ? 'delivered' : 'sent';
  }

  /** What has changed whenever one of them has risen. */
  get version(): string {
    return `${this.#delivered} ${this.#read}`;
  }
}
