import { createDecipheriv, createECDH, hkdfSync, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import type { Payload } from '../worker/payload';

/**
 * A push service in place of the browser's, which cannot be reached from a test: what the
 * server sends is decrypted as a browser would do it (RFC 8291).
 */
export class PushService {
  /** What it answers. */
  status = 201;
  received: Payload[] = [];
  /** The subscriptions that it has ended, by endpoint. */
  ended = new Set<string>();
  #server: Server;
  #key = createECDH('prime256v1');
  #auth = randomBytes(16);

  private constructor() {
    this.#key.generateKeys();
    this.#server = createServer((q, r) => {
      const chunks: Buffer[] = [];
      q.on('data', (d: Buffer) => chunks.push(d)).on('end', () => {
        if (this.ended.has(`${this.#url}${q.url}`)) return r.writeHead(410).end();
        this.received.push(JSON.parse(this.#open(Buffer.concat(chunks))) as Payload);
        return r.writeHead(this.status).end();
      });
    });
  }

  static async start(): Promise<PushService> {
    const service = new PushService();
    await new Promise<void>((resolve) => service.#server.listen(0, '127.0.0.1', resolve));
    return service;
  }

  /** The keys of the browser that is stood in for. */
  get keys(): { p256dh: string; auth: string } {
    return { p256dh: this.#key.getPublicKey('base64url'), auth: this.#auth.toString('base64url') };
  }

  get #url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #open(body: Buffer): string {
    const salt = body.subarray(0, 16);
    const theirs = body.subarray(21, 21 + body[20]!);
    const sealed = body.subarray(21 + body[20]!);
    const derive = (secret: Buffer, salt: Buffer, info: Buffer | string, length: number): Buffer => Buffer.from(hkdfSync('sha256', secret, salt, info, length));
    const secret = derive(this.#key.computeSecret(theirs), this.#auth, Buffer.concat([Buffer.from('WebPush: info\0'), this.#key.getPublicKey(), theirs]), 32);
    const key = derive(secret, salt, 'Content-Encoding: aes128gcm\0', 16);
    const opening = createDecipheriv('aes-128-gcm', key, derive(secret, salt, 'Content-Encoding: nonce\0', 12));
    opening.setAuthTag(sealed.subarray(-16));
    const padded = Buffer.concat([opening.update(sealed.subarray(0, -16)), opening.final()]);
    return padded.subarray(0, padded.lastIndexOf(2)).toString();
  }

  /** Has a page subscribe here; every subscription has its own endpoint. */
  async stub(page: Page): Promise<void> {
    await page.addInitScript(
      ({ url, keys }) => {
        const held = (): unknown => {
          const stub = localStorage.getItem('stub');
          if (!stub) return null;
          const { key, endpoint } = JSON.parse(stub) as { key: number[]; endpoint: string };
          return {
            options: { applicationServerKey: new Uint8Array(key).buffer },
            toJSON: () => ({ endpoint, keys }),
            unsubscribe: async () => (localStorage.removeItem('stub'), true),
          };
        };
        Object.assign(PushManager.prototype, {
          getSubscription: async () => held(),
          subscribe: async ({ applicationServerKey }: { applicationServerKey: Uint8Array }) => {
            if (!held()) localStorage.setItem('stub', JSON.stringify({ key: [...applicationServerKey], endpoint: `${url}/${crypto.randomUUID()}` }));
            return held();
          },
        });
      },
      { url: this.#url, keys: this.keys },
    );
  }

  /** The endpoint of a page's subscription; null: it has none. */
  async endpoint(page: Page): Promise<string | null> {
    const stub = await page.evaluate(() => localStorage.getItem('stub'));
    return stub && (JSON.parse(stub) as { endpoint: string }).endpoint;
  }

  /** Has a page's subscription have another endpoint, which need not be here. */
  async move(page: Page, endpoint: string): Promise<void> {
    await page.evaluate((to) => localStorage.setItem('stub', JSON.stringify({ ...(JSON.parse(localStorage.getItem('stub')!) as object), endpoint: to })), endpoint);
  }
}
