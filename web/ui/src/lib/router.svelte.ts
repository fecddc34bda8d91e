import { basePath, urlOf } from './base';

// The address bar is the state: a path, and ?show= for what lies over it, so that the
// back button closes a dialog and a reload brings it back.

const shows = ['find', 'invite', 'shortcuts', 'new', 'group', 'add', 'seen', 'notify', 'former', 'archived', 'report'] as const;
export type Show = (typeof shows)[number];

/** What lies over something else that is shown, and leads back to it. */
const under: Partial<Record<Show, Show>> = { add: 'group' };

interface Entry {
  /** Where one was before, with ?show=; absent when one came from outside. */
  from?: string;
}

class Router {
  /** Below Parley's own path, without slashes at the ends. */
  path = $state('');
  show = $state<Show | null>(null);
  /** The seq of the message that the dialog is about, or 0. */
  of = $state(0);
  /** Counts how often one asked for the page one is on: a link to what was scrolled away. */
  again = $state(0);

  constructor() {
    this.#read();
    addEventListener('popstate', () => this.#read());
    document.addEventListener('click', (e) => this.#click(e));
  }

  /** The path in parts. */
  get parts(): string[] {
    return this.path.split('/');
  }

  /** Goes to a path below Parley, given without a leading slash. */
  go(path: string, o: { replace?: boolean } = {}): void {
    const url = urlOf(path);
    if (url === location.href) {
      this.again++;
      return;
    }
    if (o.replace) history.replaceState(history.state, '', url);
    else history.pushState({ from: this.#here } satisfies Entry, '', url);
    this.#read();
  }

  /** The page has another path from now on; what lies over it stays. */
  become(path: string): void {
    this.go(path + location.search, { replace: true });
  }

  /** Opens a dialog over the page. */
  open(show: Show, of = 0): void {
    if (this.show === show && this.of === of) return;
    this.go(`${this.path}?show=${show}${of ? `&of=${of}` : ''}`, { replace: this.show !== null && this.show !== under[show] });
  }

  /** Closes the dialog. */
  close(): void {
    if (this.show === null) return;
    const below = under[this.show];
    this.up(this.path + (below ? `?show=${below}` : ''));
  }

  /** Leaves a dialog for another page; back does not lead into the dialog again. */
  leave(path: string): void {
    this.go(path, { replace: this.show !== null });
  }

  /** To a path that lies above this one: back, if one came from there. */
  up(path: string): void {
    if ((history.state as Entry | null)?.from === path) history.back();
    else this.go(path, { replace: true });
  }

  get #here(): string {
    return this.path + (this.show ? `?show=${this.show}` : '') + (this.of ? `&of=${this.of}` : '');
  }

  #read(): void {
    const base = basePath();
    const path = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : '';
    this.path = path.replace(/\/+$/, '');
    const query = new URLSearchParams(location.search);
    this.show = shows.find((s) => s === query.get('show')) ?? null;
    this.of = (this.show && Number(query.get('of'))) || 0;
  }

  #click(e: MouseEvent): void {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    const a = e.target instanceof Element ? e.target.closest('a') : null;
    if (!a || a.hasAttribute('download')) return;
    const url = new URL(a.href);
    if (url.origin !== location.origin || !url.pathname.startsWith(basePath()) || url.pathname.includes('/api/')) return;
    const path = url.href.slice(urlOf('').length);
    // Links in messages open beside this page, except those to other messages.
    if (a.target && !path.startsWith('c/')) return;
    e.preventDefault();
    this.go(path);
  }
}

export const router = new Router();
