// Puts the npm package together:
//
//   node package.mjs BOUND PACKAGE
//
// BOUND is the folder that wasm-bindgen has made; PACKAGE is made anew. `cargo xtask js` calls it.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

for (const file of [`${NAME}.js`, `${NAME}_bg.wasm`]) cpSync(join(bound, file), join(target, 'wasm', file));
