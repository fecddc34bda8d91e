import { storageName } from '../base';

export type Theme = 'auto' | 'light' | 'dark';

const name = storageName('theme');
/** --panel in the style sheet. */
const panel = { light: '#fffefc', dark: '#151c1e' };

/** Light, dark, or as the system has it. The style sheet does the rest. */
class Appearance {
  #theme = $state<Theme>('auto');

  constructor() {
    try {
      const stored = localStorage.getItem(name);
      if (stored === 'light' || stored === 'dark') this.#theme = stored;
    } catch {
      // The browser keeps nothing for us: as the system has it.
    }
    this.#apply();
  }

  get theme(): Theme {
    return this.#theme;
  }

  set theme(theme: Theme) {
    this.#theme = theme;
    try {
      if (theme === 'auto') localStorage.removeItem(name);
      else localStorage.setItem(name, theme);
    } catch {
      // It lasts as long as the page.
    }
    this.#apply();
  }

  #apply(): void {
    const root = document.documentElement;
    if (this.#theme === 'auto') delete root.dataset.theme;
    else root.dataset.theme = this.#theme;
    // The bar of a phone around the page: whichever of the two the system picks.
    for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name=theme-color]')) {
      const own = meta.media.includes('dark') ? 'dark' : 'light';
      meta.content = panel[this.#theme === 'auto' ? own : this.#theme];
    }
  }
}

export const appearance = new Appearance();
