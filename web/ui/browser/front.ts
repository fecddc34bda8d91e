import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';

/**
 * A reverse proxy before several servers: requests and sockets go to each in turn, and to
 * the next one where nobody listens.
 */
export class Front {
  url = '';
  /** Which server each socket went to, by number, in the order in which they were opened. */
  readonly sockets: number[] = [];

  #server: Server;
  #backends: URL[] = [];
  #open = new Set<Socket>();
  #requests = 0;
  #turn = 0;

  private constructor() {
    this.#server = createServer((req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (d: Buffer) => chunks.push(d));
      req.on('end', () => {
        const attempt = (left: number): void => {
          const to = this.#backends[this.#requests++ % this.#backends.length]!;
          const out = request({ host: to.hostname, port: to.port, method: req.method, path: req.url, headers: this.#headers(req) }, (answer) => {
            res.writeHead(answer.statusCode!, answer.rawHeaders);
            answer.pipe(res);
            answer.on('error', () => res.destroy());
          });
          out.on('error', (err: NodeJS.ErrnoException) => {
            if (err.code === 'ECONNREFUSED' && left > 1) attempt(left - 1);
            else if (!res.headersSent) res.writeHead(502).end();
            else res.destroy();
          });
          out.end(Buffer.concat(chunks));
        };
        attempt(this.#backends.length);
      });
    });
    this.#server.on('upgrade', (req, socket: Socket, head) => {
      this.#keep(socket);
      const attempt = (left: number): void => {
        const n = this.#turn++ % this.#backends.length;
        const to = this.#backends[n]!;
        const back = connect(Number(to.port), to.hostname, () => {
          this.sockets.push(n);
          const lines = Object.entries(this.#headers(req)).map(([k, v]) => `${k}: ${String(v)}\r\n`);
          back.write(`${req.method} ${req.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
          back.write(head);
          socket.pipe(back).pipe(socket);
          back.on('close', () => socket.destroy());
          socket.on('close', () => back.destroy());
        });
        this.#keep(back);
        back.on('error', (err: NodeJS.ErrnoException) => {
          if (err.code === 'ECONNREFUSED' && left > 1) attempt(left - 1);
          else socket.destroy();
        });
      };
      attempt(this.#backends.length);
    });
  }

  static async listen(): Promise<Front> {
    const front = new Front();
    await new Promise<void>((resolve) => front.#server.listen(0, '127.0.0.1', resolve));
    front.url = `http://127.0.0.1:${(front.#server.address() as { port: number }).port}`;
    return front;
  }

  /** Sends what comes from now on to these. */
  to(...urls: string[]): void {
    this.#backends = urls.map((u) => new URL(u));
  }

  async close(): Promise<void> {
    for (const s of this.#open) s.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #headers(req: IncomingMessage): NodeJS.Dict<string | string[]> {
    return { ...req.headers, 'x-forwarded-for': req.socket.remoteAddress, 'x-forwarded-proto': 'http' };
  }

  #keep(s: Socket): void {
    this.#open.add(s);
    s.on('close', () => this.#open.delete(s));
    s.on('error', () => s.destroy());
  }
}
