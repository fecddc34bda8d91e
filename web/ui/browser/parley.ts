import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

// The real binary on a data directory and a port of its own.

const binary = process.env.PARLEY_BIN ?? path.resolve(import.meta.dirname, '../../../bin/parley');
/** The first start makes a database; on a busy machine that takes a while. */
const startTimeout = 90_000;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Parley {
  /** Where it is, without a slash at the end. */
  readonly url: string;
  /** The one-time link it printed, if there was no admin yet. */
  setupLink = '';

  #dir: string;
  #env: Record<string, string>;
  #child: ChildProcess | undefined;
  #errors = '';

  private constructor(dir: string, port: number, basePath: string, env: Record<string, string>) {
    this.url = `http://127.0.0.1:${port}${basePath}`;
    this.#dir = dir;
    this.#env = {
      PATH: process.env.PATH ?? '',
      PARLEY_LISTEN: `127.0.0.1:${port}`,
      PARLEY_DATA_DIR: path.join(dir, 'data'),
      PARLEY_RATE_LIMITS: 'off',
      ...(basePath ? { PARLEY_BASE_URL: this.url } : {}),
      ...env,
    };
  }

  static async start(o: { basePath?: string; env?: Record<string, string> } = {}): Promise<Parley> {
    const dir = await mkdtemp(path.join(tmpdir(), 'parley-ui-'));
    await chmod(dir, 0o755); // PostgreSQL may run as another user
    const parley = new Parley(dir, await freePort(), o.basePath ?? '', o.env ?? {});
    await parley.up();
    return parley;
  }

  /** Starts the server, perhaps set up differently from then on, and waits until it serves. */
  async up(env: Record<string, string> = {}): Promise<void> {
    Object.assign(this.#env, env);
    const child = spawn(binary, ['serve'], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let out = '';
    child.stdout.on('data', (d) => (out += d));
    child.stderr.on('data', (d) => (this.#errors += d));
    const died = new Promise<never>((_, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`parley ended with ${code}:\n${out}${this.#errors}`)));
    });
    died.catch(() => {}); // also after it serves
    const { origin } = new URL(this.url);
    const ready = async (): Promise<void> => {
      for (const end = Date.now() + startTimeout; Date.now() < end; ) {
        if ((await fetch(`${origin}/readyz`).catch(() => null))?.ok) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`parley does not serve:\n${out}${this.#errors}`);
    };
    await Promise.race([ready(), died]);
    this.setupLink = /\S+\/setup#\S+/.exec(out)?.[0] ?? '';
  }

  /** Stops the server: kindly, or as a power cut would. */
  async down(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await exited;
  }

  /** Where its built-in database is, for other servers to use it too. */
  async databaseURL(): Promise<string> {
    // The fifth line of the file is the directory of the socket.
    const lines = (await readFile(path.join(this.#dir, 'data', 'postgres', 'postmaster.pid'), 'utf8')).split('\n');
    return `postgres:///parley?user=parley&host=${encodeURIComponent(lines[4]!)}`;
  }

  /** What it logged, and complained about. */
  get log(): string {
    return this.#errors;
  }

  /** Stops it for good and removes its data. */
  async remove(): Promise<void> {
    await this.down();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
