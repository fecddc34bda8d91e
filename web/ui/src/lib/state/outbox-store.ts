// Where messages wait until the server has them: IndexedDB, so that they are still there
// after a reload, a crash or a long flight.

export interface Queued {
  client_id: string;
  user_id: string;
  conversation_id: string;
  body: string;
  /** The seq of the message it answers. Older pages queued without, as without mentions. */
  reply_to?: number;
  /** The members it names. */
  mentions?: string[];
  /** Whom it names was not known yet: that is found out when it is sent. */
  mentions_open?: boolean;
  /** When it was written, RFC 3339. */
  created_at: string;
  /**
   * Its number in the queue, above that of everything queued before. The store gives it out:
   * a clock can be set back. Older pages queued without.
   */
  position?: number;
  /** The order that older pages queued in, by their clock. */
  place?: string;
  state: 'queued' | 'failed';
  code?: string;
  detail?: string;
}

export interface OutboxStore {
  /** Survives a reload. */
  readonly durable: boolean;
  /** Stores an item behind all others of its user, and resolves to its position. */
  append(item: Queued): Promise<number>;
  /** Stores an item where it is. */
  put(item: Queued): Promise<void>;
  delete(client_id: string): Promise<void>;
  /** All items of a user, in the order in which they were queued. */
  all(user_id: string): Promise<Queued[]>;
}

/** Items without a position are older than all that have one. */
export function byPosition(a: Queued, b: Queued): number {
  const [x, y] = [a.place ?? '', b.place ?? ''];
  return (a.position ?? 0) - (b.position ?? 0) || (x < y ? -1 : Number(x > y));
}

/** The position behind all others. */
export const nextPosition = (items: Iterable<Queued>): number => 1 + Math.max(0, ...Array.from(items, (i) => i.position ?? 0));

const settle = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

class Durable implements OutboxStore {
  readonly durable = true;
  #name: string;
  #db: IDBDatabase | null = null;

  constructor(name: string, db: IDBDatabase) {
    this.#name = name;
    this.#take(db);
  }

  #take(db: IDBDatabase): IDBDatabase {
    // The browser ended it, or a newer page wants to change the schema: what comes next opens it anew.
    db.onclose = () => (this.#db = null);
    db.onversionchange = () => {
      db.close();
      this.#db = null;
    };
    return (this.#db = db);
  }

  async #opened(): Promise<IDBDatabase> {
    return this.#db ?? this.#take(await connect(this.#name));
  }

  /** Runs a transaction. What f resolves to counts once the transaction is on the disk. */
  async #write<T>(f: (store: IDBObjectStore) => T | Promise<T>): Promise<T> {
    const tx = (await this.#opened()).transaction('outbox', 'readwrite', { durability: 'strict' });
    const done = new Promise<void>((resolve, reject) => {
      tx.oncomplete = () => resolve();
      tx.onabort = tx.onerror = () => reject(tx.error);
    });
    const [result] = await Promise.all([f(tx.objectStore('outbox')), done]);
    return result;
  }

  append(item: Queued): Promise<number> {
    return this.#write(async (s) => {
      const position = nextPosition(await settle<Queued[]>(s.index('user').getAll(item.user_id)));
      s.put({ ...item, position });
      return position;
    });
  }

  put(item: Queued): Promise<void> {
    return this.#write((s) => void s.put(item));
  }

  delete(client_id: string): Promise<void> {
    return this.#write((s) => void s.delete(client_id));
  }

  async all(user_id: string): Promise<Queued[]> {
    const index = (await this.#opened()).transaction('outbox').objectStore('outbox').index('user');
    return (await settle<Queued[]>(index.getAll(user_id))).sort(byPosition);
  }
}

class InMemory implements OutboxStore {
  readonly durable = false;
  #items = new Map<string, Queued>();

  async append(item: Queued): Promise<number> {
    const position = nextPosition(this.#items.values());
    this.#items.set(item.client_id, { ...item, position });
    return position;
  }

  async put(item: Queued): Promise<void> {
    this.#items.set(item.client_id, { ...item });
  }

  async delete(client_id: string): Promise<void> {
    this.#items.delete(client_id);
  }

  async all(user_id: string): Promise<Queued[]> {
    return [...this.#items.values()].filter((i) => i.user_id === user_id).sort(byPosition);
  }
}

/** Stands for a store that is still being opened. */
class Opening implements OutboxStore {
  durable = true;
  #store: Promise<OutboxStore>;

  constructor(store: Promise<OutboxStore>) {
    this.#store = store.then((s) => {
      this.durable = s.durable;
      return s;
    });
  }

  async append(item: Queued): Promise<number> {
    return (await this.#store).append(item);
  }

  async put(item: Queued): Promise<void> {
    await (await this.#store).put(item);
  }

  async delete(client_id: string): Promise<void> {
    await (await this.#store).delete(client_id);
  }

  async all(user_id: string): Promise<Queued[]> {
    return (await this.#store).all(user_id);
  }
}

/** Opens the store. A browser that keeps nothing gets one that lasts as long as the page. */
export function openOutboxStore(name: string): OutboxStore {
  return new Opening(open(name));
}

/** How many messages of somebody a store has that are to be sent; 0 if that cannot be known. */
export async function waiting(name: string, user_id: string | null): Promise<number> {
  if (!user_id) return 0;
  const all = await openOutboxStore(name).all(user_id).catch(() => []);
  return all.filter((item) => item.state === 'queued').length;
}

async function open(name: string): Promise<OutboxStore> {
  try {
    return new Durable(name, await connect(name));
  } catch (err) {
    console.warn('The browser keeps nothing for this page; unsent messages last until it is closed.', err);
    return new InMemory();
  }
}

function connect(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('outbox', { keyPath: 'client_id' }).createIndex('user', 'user_id');
  };
  return settle(request);
}
