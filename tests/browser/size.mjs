// How large the browser's part of storex is to download:
//
//   node size.mjs --limit KIB COMPILED.wasm FOLDER
//
// COMPILED.wasm is what cargo made, FOLDER what wasm-bindgen made of it. The size after each step is printed;
// above the limit after gzip it is an error. The limit is of the wasm alone, the JavaScript beside it is shown.

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipped, kib, optimized, print } from './optimize.mjs';

process.exitCode = main();

function main() {
  const { values, positionals } = parseArgs({ options: { limit: { type: 'string' } }, allowPositionals: true });
  const limit = Number(values.limit);
  const [compiled, folder] = positionals;
  if (!(limit > 0) || !folder) {
    console.error('usage: node size.mjs --limit KIB COMPILED.wasm FOLDER');
    return 2;
  }
  const name = basename(compiled, '.wasm');
  const bound = join(folder, `${name}_bg.wasm`);
  const small = optimized(bound);
  const zipped = gzipped(small);
  print('cargo', readFileSync(compiled));
  print('wasm-bindgen', readFileSync(bound));
  print('wasm-opt -Oz', small);
  print('gzip -9', zipped);
  print('its JavaScript, gzip -9', gzipped(readFileSync(join(folder, `${name}.js`))));
  if (kib(zipped) <= limit) return 0;
  console.error(`${kib(zipped).toFixed(1)} KiB of wasm are more than the ${limit} KiB allowed`);
  return 1;
}
