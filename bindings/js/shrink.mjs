// Makes the module in a folder that wasm-bindgen has made as small as users get it, and tells what there is to download:
//
//   node shrink.mjs BOUND

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipped, optimized, print } from '../../tests/browser/optimize.mjs';

const [bound] = process.argv.slice(2);
if (!bound) {
  console.error('usage: node shrink.mjs BOUND');
  process.exit(2);
}

const module = join(bound, 'storex_js_bg.wasm');
const small = optimized(module);
writeFileSync(module, small);
print('its wasm, wasm-opt -Oz', small);
print('its wasm, gzip -9', gzipped(small));
print('wasm-bindgen\'s, gzip -9', gzipped(readFileSync(join(bound, 'storex_js.js'))));
