import type { End } from '../api/socket';

/** A connection that is gone this long, in milliseconds, is worth mentioning. */
const mentionAfter = 5_000;

class Connection {
  /** hello was received and what was missed is here. */
  online = $state(false);
  /** Gone for so long that it is said. */
  offline = $state(false);
  /** When the next try is made (Date.now()), while there is no connection. */
  retryAt = $state(0);
  /** It will not come back by itself. */
  ended = $state<End | null>(null);
  /** The server is another version than the one this page is from. */
  outdated = $state(false);
  /** A sign-in to the account from elsewhere that the user has not reviewed yet. */
  signedIn = $state<{ address: string } | null>(null);

  #mention: ReturnType<typeof setTimeout> | undefined;
  #version = '';

  up(version: string): void {
    clearTimeout(this.#mention);
    this.#mention = undefined;
    this.online = true;
    this.offline = false;
    this.outdated ||= this.#version !== '' && this.#version !== version;
    this.#version = version;
  }

  down(retryAt: number): void {
    this.online = false;
    this.retryAt = retryAt;
    this.#mention ??= setTimeout(() => (this.offline = true), mentionAfter);
  }

  reset(): void {
    clearTimeout(this.#mention);
    this.#mention = undefined;
    this.online = this.offline = false;
    this.ended = null;
    this.signedIn = null;
  }
}

export const connection = new Connection();
