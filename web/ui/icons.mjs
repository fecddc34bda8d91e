// Draws public/icons from public/favicon.svg, with the Chromium that the browser tests drive.
// They are in the repository: run it when the picture changes.
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';

const dir = path.resolve(import.meta.dirname, 'public');
const svg = await readFile(path.join(dir, 'favicon.svg'), 'utf8');
const [, bubble] = /(<path fill="#0e7480"[^>]*>)/.exec(svg);
const [, line] = /(<path fill="none"[^>]*>)/.exec(svg);

/** The picture at a share of a square, on a ground, in a colour. */
const square = (share, ground, drawn) => {
  const size = 32 / share;
  const at = (32 - size) / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${at} ${at} ${size} ${size}"><rect x="${at}" y="${at}" width="${size}" height="${size}" fill="${ground}"/>${drawn}</svg>`;
};
const inverted = bubble.replace('#0e7480', '#fff') + line.replace('#fff', '#0e7480');
// Android draws the badge from its alpha alone: the line is a hole.
const hole = `<mask id="m"><rect width="32" height="32" fill="#fff"/>${line.replace('#fff', '#000')}</mask>${bubble.replace('#0e7480', '#fff').replace('<path', '<path mask="url(#m)"')}`;

const icons = {
  '192': [192, square(0.94, 'none', bubble + line)],
  '512': [512, square(0.94, 'none', bubble + line)],
  maskable: [512, square(0.52, '#0e7480', inverted)], // all of it within the circle of 80 %
  apple: [180, square(0.66, '#0e7480', inverted)], // iOS rounds the corners and shows no transparency
  badge: [96, square(0.94, 'none', hole)],
};

await mkdir(path.join(dir, 'icons'), { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--headless', '--no-sandbox'] });
const page = await browser.newPage();
for (const [name, [size, drawn]] of Object.entries(icons)) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<style>body{margin:0}svg{display:block}</style>${drawn.replace('<svg', `<svg width="${size}" height="${size}"`)}`);
  await page.screenshot({ path: path.join(dir, 'icons', `${name}.png`), omitBackground: true });
}
await browser.close();
