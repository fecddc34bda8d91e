import { utf8Length } from '../text/length';
import { ApiError, toApiError } from './errors';
import type { Events, Hello } from './types';

export const subprotocol = 'parley.v1';

/** Reconnecting waits a random time up to base·2^tries, at most cap milliseconds. */
const base = 1_000;
const cap = 30_000;
/** A connection that lived this long was a good one: the next wait is short again. */
const stableAfter = 5_000;
/** A handshake, an answer, and the sign of life after waking up may take this long. */
const connectTimeout = 15_000;
const answerTimeout = 15_000;
const wakeTimeout = 5_000;
/**
 * A larger frame is refused here, in bytes: at 64 KiB the server closes the connection, and
 * what comes again after every reconnect would close it for ever.
 */
const maxFrame = 60 * 1024;

/** The server counts an escape such as \u0001 as the character that it stands for. */
const frameSize = (frame: string): number => utf8Length(frame.replace(/\\(u....|.)/g, '_'));

/** Full jitter: everybody cut off by a restart comes back at another moment. */
export function backoff(tries: number, random: () => number): number {
  return random() * Math.min(cap, base * 2 ** tries);
}

/** Why the socket will not come back by itself. */
export type End = 'session_ended' | 'not_authenticated' | 'protocol' | 'replaced';

export function endOf(code: number): End | null {
  if (code < 4500 || code > 4999) return null;
  if (code === 4501) return 'session_ended';
  if (code === 4503) return 'replaced';
  return code === 4500 ? 'not_authenticated' : 'protocol';
}

type Handlers = {
  [K in keyof Events]: (data: Events[K]) => void;
} & {
  /** Connected and authenticated; events arrive from now on. */
  hello: (hello: Hello) => void;
  /** The connection went; the next try comes at the given time (Date.now()). */
  down: (retryAt: number) => void;
  /** A try failed before hello: the session may be over, a socket does not say. */
  refused: () => void;
  /** It will not come back by itself. */
  ended: (why: End) => void;
};

interface Waiting {
  resolve: (data: unknown) => void;
  reject: (err: ApiError) => void;
  timer: ReturnType<typeof setTimeout>;
}

interface Options {
  url: () => string;
  handlers: Handlers;
  connect?: (url: string) => WebSocket;
  random?: () => number;
}

/** One connection to the server that keeps coming back until it is stopped. */
export class Socket {
  #url: () => string;
  #on: Handlers;
  #connect: (url: string) => WebSocket;
  #random: () => number;

  #ws: WebSocket | null = null;
  #open = false; // hello was received on #ws
  #running = false;
  #tries = 0;
  #nextId = 0;
  #waiting = new Map<string, Waiting>();
  #reconnect: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined; // of the handshake
  #stable: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;

  constructor(o: Options) {
    this.#url = o.url;
    this.#on = o.handlers;
    this.#connect = o.connect ?? ((url) => new WebSocket(url, subprotocol));
    this.#random = o.random ?? Math.random;
  }

  get connected(): boolean {
    return this.#open;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#tries = 0;
    this.#dial();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#reconnect);
    this.#drop();
  }

  /** The page woke up or the network is back: try now, or see whether anybody is there. */
  wake(): void {
    if (!this.#running) return;
    if (this.#open) {
      this.#beat(wakeTimeout);
    } else if (!this.#ws) {
      clearTimeout(this.#reconnect);
      this.#dial();
    }
  }

  /** Asks the server. Rejects with an ApiError; `offline` means the outcome is unknown. */
  request<T>(type: string, data: unknown, timeout = answerTimeout): Promise<T> {
    const ws = this.#ws;
    // What is sent while it closes goes nowhere, and the browser complains.
    if (!ws || !this.#open || ws.readyState > ws.OPEN) return Promise.reject(new ApiError('offline'));
    const id = String(++this.#nextId);
    const frame = JSON.stringify({ type, id, data });
    if (frame.length * 3 > maxFrame && frameSize(frame) > maxFrame) return Promise.reject(new ApiError('too_large'));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#lost(), timeout);
      this.#waiting.set(id, { resolve: resolve as (data: unknown) => void, reject, timer });
      ws.send(frame);
    });
  }

  #dial(): void {
    let ws: WebSocket;
    try {
      ws = this.#connect(this.#url());
    } catch {
      this.#again();
      return;
    }
    this.#ws = ws;
    this.#deadline = setTimeout(() => this.#lost(), connectTimeout);
    ws.onmessage = (e) => this.#receive(e.data);
    ws.onclose = (e) => this.#closed(e.code);
  }

  #receive(frame: unknown): void {
    let f: { type?: unknown; id?: unknown; data?: unknown; error?: unknown };
    try {
      f = JSON.parse(String(frame));
    } catch {
      return; // the server sends nothing of the kind; there is nobody to tell
    }
    switch (f.type) {
      case 'reply':
      case 'error': {
        const w = this.#waiting.get(String(f.id));
        if (!w) return;
        this.#waiting.delete(String(f.id));
        clearTimeout(w.timer);
        if (f.type === 'reply') w.resolve(f.data ?? {});
        else w.reject(toApiError(f.error));
        return;
      }
      case 'hello':
        this.#greeted(f.data as Hello);
        return;
      case 'entry':
        this.#on.entry(f.data as Events['entry']);
        return;
      case 'conversation':
        this.#on.conversation(f.data as Events['conversation']);
        return;
      case 'receipt':
        this.#on.receipt(f.data as Events['receipt']);
        return;
      case 'presence':
        this.#on.presence(f.data as Events['presence']);
        return;
      case 'typing':
        this.#on.typing(f.data as Events['typing']);
        return;
      case 'behind':
        this.#on.behind(f.data as Events['behind']);
        return;
      case 'user':
        this.#on.user(f.data as Events['user']);
        return;
      case 'block':
        this.#on.block(f.data as Events['block']);
        return;
      case 'session':
        this.#on.session(f.data as Events['session']);
        return;
      case 'report':
        this.#on.report(f.data as Events['report']);
        return;
    } // events of a newer server are not for us
  }

  #greeted(hello: Hello): void {
    clearTimeout(this.#deadline);
    this.#open = true;
    this.#stable = setTimeout(() => (this.#tries = 0), stableAfter);
    this.#heartbeat = setInterval(() => this.#beat(answerTimeout), hello.heartbeat_s * 1000);
    this.#on.hello(hello);
  }

  #beat(timeout: number): void {
    // Its failure needs no handling: no answer in time drops the connection.
    this.request('presence.heartbeat', {}, timeout).catch(() => {});
  }

  /** Nobody answers: do not wait for the close handshake of a dead connection. */
  #lost(): void {
    const greeted = this.#open;
    this.#drop();
    if (this.#running) this.#again(greeted);
  }

  #closed(code: number): void {
    const greeted = this.#open;
    this.#drop();
    if (!this.#running) return;
    const end = endOf(code);
    if (end) {
      this.#running = false;
      this.#on.ended(end);
      return;
    }
    this.#again(greeted);
  }

  #again(greeted = false): void {
    const wait = backoff(this.#tries++, this.#random);
    this.#reconnect = setTimeout(() => this.#dial(), wait);
    this.#on.down(Date.now() + wait);
    if (!greeted) this.#on.refused();
  }

  #drop(): void {
    const ws = this.#ws;
    this.#ws = null;
    this.#open = false;
    clearTimeout(this.#deadline);
    clearTimeout(this.#stable);
    clearInterval(this.#heartbeat);
    if (ws) {
      ws.onmessage = ws.onclose = null;
      ws.close(1000);
    }
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const w of waiting) {
      clearTimeout(w.timer);
      w.reject(new ApiError('offline'));
    }
  }
}
