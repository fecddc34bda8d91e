import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

// The part of a desktop that shows notifications, so that they can be clicked: a session bus
// (D-Bus specification, version 1) with nothing on it but org.freedesktop.Notifications. A
// browser without windows shows its notifications there as well.

const service = 'org.freedesktop.Notifications';
const serviceName = ':1.0';
const enum Type { Call = 1, Return = 2, Error = 3, Signal = 4 }
const enum Field { Path = 1, Interface = 2, Member = 3, ErrorName = 4, ReplySerial = 5, Destination = 6, Sender = 7, Signature = 8 }
type Value = string | number | string[];

/** Writes values: s, o, g, u, b and as. */
class Writer {
  #parts: Buffer[] = [];
  length = 0;

  bytes(b: Buffer): void {
    this.#parts.push(b);
    this.length += b.length;
  }
  align(n: number): void {
    this.bytes(Buffer.alloc((n - (this.length % n)) % n));
  }
  uint(n: number): void {
    this.align(4);
    const b = Buffer.alloc(4);
    b.writeUInt32LE(n);
    this.bytes(b);
  }
  string(s: string): void {
    this.uint(Buffer.byteLength(s));
    this.bytes(Buffer.from(`${s}\0`));
  }
  signature(s: string): void {
    this.bytes(Buffer.from([s.length, ...Buffer.from(s), 0]));
  }
  value(v: Value): void {
    if (typeof v === 'number') this.uint(v);
    else if (typeof v === 'string') this.string(v);
    else {
      const list = new Writer();
      for (const s of v) list.string(s);
      this.uint(list.length);
      this.bytes(list.done());
    }
  }
  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

interface Message {
  type: number;
  serial: number;
  fields: Map<number, string | number>;
  /** Reads a string or a number of the body, one after the other. */
  string(): string;
  uint(): number;
}

/** Reads a message from the beginning of what came, and how long it is; null until all of it is there. */
function read(b: Buffer): { message: Message; length: number } | null {
  if (b.length < 16) return null;
  const fieldsEnd = 16 + b.readUInt32LE(12);
  const bodyAt = Math.ceil(fieldsEnd / 8) * 8;
  const length = bodyAt + b.readUInt32LE(4);
  if (b.length < length) return null;
  let at = 16;
  const align = (n: number): void => void (at = Math.ceil(at / n) * n);
  const uint = (): number => {
    align(4);
    at += 4;
    return b.readUInt32LE(at - 4);
  };
  const text = (n: number): string => {
    at += n + 1;
    return b.toString('utf8', at - n - 1, at - 1);
  };
  const string = (): string => text(uint());
  const fields = new Map<number, string | number>();
  for (align(8); at < fieldsEnd; align(8)) {
    const code = b[at++]!;
    const kind = text(b[at++]!);
    fields.set(code, kind === 'u' ? uint() : kind === 'g' ? text(b[at++]!) : string());
  }
  at = bodyAt;
  return { message: { type: b[1]!, serial: b.readUInt32LE(8), fields, string, uint }, length };
}

interface Shown {
  title: string;
  id: number;
}

export class Desktop {
  /** For DBUS_SESSION_BUS_ADDRESS. */
  readonly address: string;
  shown: Shown[] = [];
  #dir: string;
  #server: Server;
  #clients = new Set<Socket>();
  #serial = 0;
  #ids = 0;

  private constructor(dir: string) {
    this.#dir = dir;
    this.address = `unix:path=${path.join(dir, 'bus')}`;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(): Promise<Desktop> {
    const d = new Desktop(await mkdtemp(path.join(tmpdir(), 'parley-bus-')));
    await new Promise<void>((resolve) => d.#server.listen(path.join(d.#dir, 'bus'), resolve));
    return d;
  }

  async stop(): Promise<void> {
    for (const s of this.#clients) s.destroy();
    this.#server.close();
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** Clicks what is shown with a title, if it is. */
  click(title: string): boolean {
    const n = this.shown.find((s) => s.title === title);
    if (n) this.#signal('ActionInvoked', 'us', [n.id, 'default']);
    return n !== undefined;
  }

  #signal(member: string, signature: string, values: Value[]): void {
    for (const s of this.#clients) {
      this.#send(s, Type.Signal, [[Field.Path, '/org/freedesktop/Notifications'], [Field.Interface, service], [Field.Member, member], [Field.Sender, serviceName]], signature, values);
    }
  }

  #send(to: Socket, type: Type, fields: [Field, string | number][], signature = '', values: Value[] = []): void {
    const body = new Writer();
    for (const v of values) body.value(v);
    const head = new Writer();
    const all: [Field, string | number][] = signature ? [...fields, [Field.Signature, signature]] : fields;
    for (const [code, value] of all) {
      head.align(8);
      const kind = typeof value === 'number' ? 'u' : code === Field.Path ? 'o' : code === Field.Signature ? 'g' : 's';
      head.bytes(Buffer.from([code]));
      head.signature(kind);
      if (kind === 'g') head.signature(value as string);
      else head.value(value);
    }
    const out = new Writer();
    out.bytes(Buffer.from(['l'.charCodeAt(0), type, 0, 1]));
    out.uint(body.length);
    out.uint(++this.#serial);
    out.uint(head.length); // what follows begins at 16, so that it is aligned as it was
    out.bytes(head.done());
    out.align(8);
    out.bytes(body.done());
    to.write(out.done());
  }

  #serve(socket: Socket): void {
    let rest = Buffer.alloc(0);
    let begun = false;
    socket.on('error', () => {});
    socket.on('close', () => this.#clients.delete(socket));
    socket.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      while (!begun) {
        const end = rest.indexOf('\r\n');
        if (end < 0) return;
        const line = rest.toString('latin1', 0, end).replace('\0', '');
        rest = rest.subarray(end + 2);
        if (line === 'BEGIN') {
          begun = true;
          this.#clients.add(socket);
        } else {
          socket.write(/^AUTH EXTERNAL ./.test(line) ? `OK ${'0'.repeat(32)}\r\n` : line.startsWith('AUTH') ? 'REJECTED EXTERNAL\r\n' : 'ERROR\r\n');
        }
      }
      for (let m = read(rest); m; m = read(rest)) {
        rest = rest.subarray(m.length);
        if (m.message.type === Type.Call) this.#call(socket, m.message);
      }
    });
  }

  #call(socket: Socket, m: Message): void {
    const to = String(m.fields.get(Field.Destination));
    const sender: [Field, string] = [Field.Sender, to === service || to === serviceName ? serviceName : 'org.freedesktop.DBus'];
    const answer = (signature = '', ...values: Value[]): void => this.#send(socket, Type.Return, [[Field.ReplySerial, m.serial], sender], signature, values);
    const isThere = (name: string): boolean => name === service || name === 'org.freedesktop.DBus';
    switch (`${to} ${String(m.fields.get(Field.Member))}`) {
      case 'org.freedesktop.DBus Hello':
        return answer('s', ':1.1');
      case 'org.freedesktop.DBus AddMatch':
      case 'org.freedesktop.DBus RemoveMatch':
        return answer();
      case 'org.freedesktop.DBus RequestName':
        return answer('u', 1);
      case 'org.freedesktop.DBus NameHasOwner':
        return answer('b', Number(isThere(m.string())));
      case 'org.freedesktop.DBus ListActivatableNames':
        return answer('as', [service]);
      case 'org.freedesktop.DBus GetNameOwner':
        if (m.string() === service) return answer('s', serviceName);
        break;
      case `${service} GetCapabilities`:
        return answer('as', ['actions', 'body']);
      case `${service} GetServerInformation`:
        return answer('ssss', 'desktop', 'parley', '1', '1.2');
      case `${service} Notify`: {
        m.string();
        const replaced = m.uint();
        m.string();
        const id = replaced || ++this.#ids;
        this.shown = [...this.shown.filter((s) => s.id !== id), { title: m.string(), id }];
        return answer('u', id);
      }
      case `${service} CloseNotification`: {
        const id = m.uint();
        this.shown = this.shown.filter((s) => s.id !== id);
        answer();
        return this.#signal('NotificationClosed', 'uu', [id, 3]);
      }
    }
    this.#send(socket, Type.Error, [[Field.ReplySerial, m.serial], [Field.ErrorName, 'org.freedesktop.DBus.Error.ServiceUnknown'], sender]);
  }
}
