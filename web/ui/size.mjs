// Fails the build when what the first page loads has grown beyond the caps.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

const dist = path.resolve(import.meta.dirname, '../dist');
/** In KB of gzip. */
const budgets = { js: { target: 60, cap: 90 }, css: { target: 10, cap: 15 } };

const html = await readFile(path.join(dist, 'index.html'), 'utf8');
const files = [...html.matchAll(/(?:src|href)="([^"]+\.(js|css))"/g)].map(([, file, kind]) => ({ file, kind }));
let failed = files.length === 0;
for (const [kind, { target, cap }] of Object.entries(budgets)) {
  let size = 0;
  for (const { file } of files.filter((f) => f.kind === kind)) {
    size += gzipSync(await readFile(path.join(dist, file)), { level: 9 }).length / 1000;
  }
  const verdict = size > cap ? 'TOO MUCH' : size > target ? 'over the target' : 'good';
  console.log(`${kind.padEnd(4)}${size.toFixed(1).padStart(6)} KB gzip   target ${target}, cap ${cap}: ${verdict}`);
  failed ||= size > cap;
}
process.exit(failed ? 1 : 0);
