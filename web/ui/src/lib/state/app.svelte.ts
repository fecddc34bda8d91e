import { Live } from './live.svelte';

/** Holds what belongs to the person who is signed in. */
class App {
  live = $state.raw<Live | null>(null);

  begin(me: string): void {
    if (this.live?.me === me) return;
    this.end();
    this.live = new Live(me);
    this.live.start();
  }

  end(): void {
    this.live?.stop();
    this.live = null;
  }
}

export const app = new App();
