// Puts the npm package together:
//
//   node package.mjs BOUND PACKAGE
//
// BOUND is the folder that wasm-bindgen has made; PACKAGE is made anew. `cargo xtask js` calls it.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipped, optimized, print } from '../../tests/browser/optimize.mjs';

const SOURCE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = join(SOURCE, '../..');
const NAME = 'storex_js';

const [bound, target] = process.argv.slice(2);
if (!target) {
  console.error('usage: node package.mjs BOUND PACKAGE');
  process.exit(2);
}

rmSync(target, { recursive: true, force: true });
mkdirSync(join(target, 'wasm'), { recursive: true });
cpSync(join(SOURCE, 'lib'), join(target, 'lib'), { recursive: true });
cpSync(join(SOURCE, 'README.md'), join(target, 'README.md'));
for (const license of ['LICENSE-APACHE', 'LICENSE-MIT']) cpSync(join(ROOT, license), join(target, license));

// What only the tests need is nothing that a user installs.
const { devDependencies: _, ...manifest } = JSON.parse(readFileSync(join(SOURCE, 'package.json'), 'utf8'));
writeFileSync(join(target, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);

const script = readFileSync(join(bound, `${NAME}.js`));
writeFileSync(join(target, `wasm/${NAME}.js`), script);
const small = optimized(join(bound, `${NAME}_bg.wasm`));
writeFileSync(join(target, `wasm/${NAME}_bg.wasm`), small);
print('its wasm, wasm-opt -Oz', small);
print('its wasm, gzip -9', gzipped(small));
print('wasm-bindgen\'s, gzip -9', gzipped(script));
