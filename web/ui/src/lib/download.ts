import { ApiError, toApiError } from './api/errors';
import { urlOf } from './base';
import { confirmation } from './state/confirmation.svelte';
import { session } from './state/session.svelte';

/** So many bytes hold the line that ends a whole download. */
const tail = 100;

/** Saves all of one's own data as a file. It may take longer than other requests. */
export async function downloadData(): Promise<void> {
  let answer: Response;
  let blob: Blob;
  try {
    answer = await fetch(urlOf('api/v1/me/export'), { credentials: 'same-origin' });
    blob = await answer.blob();
  } catch {
    throw new ApiError('offline');
  }
  if (!answer.ok) {
    const problem: unknown = await blob.text().then(JSON.parse).catch(() => undefined);
    const err = toApiError(problem, answer.status, Number(answer.headers.get('Retry-After')) || 0);
    if (err.code === 'unauthenticated') session.ended();
    if (err.code === 'confirmation_required' && (await confirmation.ask())) return downloadData();
    throw err;
  }
  if (!(await blob.slice(-tail).text()).includes('{"type":"end"')) throw new ApiError('offline'); // it was cut off
  const a = document.createElement('a');
  a.href = URL.createObjectURL(blob);
  a.download = /filename="([^"]+)"/.exec(answer.headers.get('Content-Disposition') ?? '')?.[1] ?? 'parley-export.ndjson';
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 60_000); // the browser may still be reading it
}
