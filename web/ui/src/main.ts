import { mount } from 'svelte';
import App from './App.svelte';
import { prefetchFor } from './lib/api/http';
import { guardComposing } from './lib/keys';
import { router } from './lib/router.svelte';
import { guardFiles } from './lib/state/files.svelte';
import { firstList } from './lib/state/live.svelte';
import { session } from './lib/state/session.svelte';
import { pageRows } from './lib/state/window';

guardComposing(window);
guardFiles(window);

// On a slow line every answer that another question waits for is felt.
if (session.likely) {
  const [page, id, seq] = router.parts;
  prefetchFor(page === 'c' ? id : undefined, Number(seq) || undefined, firstList, pageRows);
}

const target = document.getElementById('app')!;
target.replaceChildren(); // what was there says that Parley is loading
mount(App, { target });
