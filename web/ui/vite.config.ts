import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { build, defineConfig, type Plugin } from 'vite';

/** Where `vite dev` finds a running Parley. */
const server = 'http://127.0.0.1:8080';

/**
 * Writes .br and .gz beside what compresses, so that the server never compresses a thing,
 * and .gitkeep, which lets the server be compiled without a built interface.
 */
function precompressed(): Plugin {
  let outDir = '';
  return {
    name: 'precompressed',
    apply: 'build',
    configResolved(config) {
      outDir = path.resolve(config.root, config.build.outDir);
    },
    async closeBundle() {
      const names = await readdir(outDir, { recursive: true });
      for (const name of names.filter((n) => /\.(css|html|js|json|svg|txt|webmanifest)$/.test(n))) {
        const file = path.join(outDir, name);
        const body = await readFile(file);
        const br = await promisify(brotliCompress)(body, {
          params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY },
        });
        const gz = await promisify(gzip)(body, { level: 9 });
        if (gz.length >= body.length) continue;
        await writeFile(`${file}.br`, br);
        await writeFile(`${file}.gz`, gz);
      }
      await writeFile(path.join(outDir, '.gitkeep'), '');
    },
  };
}

/** Builds the service worker, which holds the names and hashes of everything that was built. */
function serviceWorker(): Plugin {
  let outDir = '';
  return {
    name: 'service-worker',
    apply: 'build',
    configResolved(config) {
      outDir = path.resolve(config.root, config.build.outDir);
    },
    async writeBundle() {
      const names = (await readdir(path.join(outDir, 'assets'))).filter((n) => /\.(css|js)$/.test(n)).sort();
      const files: Record<string, string> = {};
      for (const name of names) {
        files[`assets/${name}`] = `sha256-${createHash('sha256').update(await readFile(path.join(outDir, 'assets', name))).digest('base64')}`;
      }
      const html = await readFile(path.join(outDir, 'index.html'), 'utf8');
      const entry = /src="\.\/(assets\/[^"]+\.js)"/.exec(html)?.[1];
      if (!entry) throw new Error('index.html loads no script');
      const all = JSON.stringify(files);
      const version = createHash('sha256').update(html + all).digest('hex').slice(0, 12);
      await build({
        configFile: false,
        root: import.meta.dirname,
        publicDir: false,
        logLevel: 'warn',
        define: { FILES: all, ENTRY: JSON.stringify(entry), VERSION: JSON.stringify(version) },
        build: {
          outDir,
          emptyOutDir: false,
          target: 'es2022',
          reportCompressedSize: false,
          // Scripts of the old kind: not every browser has modules in service workers.
          lib: { entry: 'worker/sw.ts', formats: ['iife'], name: 'sw', fileName: () => 'sw.js' },
        },
      });
    },
  };
}

/**
 * Is a module needed by the first page? Then all of it is one file: what is fetched later
 * shares much with it, and would otherwise tear it into many.
 */
function eager(id: string, info: (id: string) => { isEntry: boolean; importers: readonly string[] } | null, seen = new Set<string>()): boolean {
  if (seen.has(id)) return false;
  seen.add(id);
  const module = info(id);
  return module !== null && (module.isEntry || module.importers.some((i) => eager(i, info, seen)));
}

export default defineConfig({
  // The server puts its own path into <base>, so nothing here may be absolute.
  base: './',
  plugins: [svelte(), serviceWorker(), precompressed()],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    cssCodeSplit: false, // a style sheet that failed once is never asked for again, and all of them are small
    assetsInlineLimit: 0, // data: URLs are more than the security policy needs to allow
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [{ name: (id, context) => (eager(id, (of) => context.getModuleInfo(of)) ? 'first' : null) }],
        },
      },
    },
  },
  server: {
    proxy: { '/api': { target: server, ws: true } },
  },
});
