// How large the browser's part of storex is to download:
//
//   node size.mjs --limit KIB COMPILED.wasm FOLDER
//
// COMPILED.wasm is what cargo made, FOLDER what wasm-bindgen made of it. The size after each step is printed;
// above the limit after gzip it is an error. The limit is of the wasm alone, the JavaScript beside it is shown.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

// Each is a feature that rustc uses by default. Not `--all-features`: Chromium refuses what that makes.
const OPTIMIZE = [
  '-Oz',
  '--enable-bulk-memory',
  '--enable-nontrapping-float-to-int',
  '--enable-sign-ext',
  '--enable-mutable-globals',
  '--enable-multivalue',
  '--enable-reference-types',
];

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

function optimized(from) {
  const program = fileURLToPath(new URL('node_modules/binaryen/bin/wasm-opt', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'storex-size-'));
  try {
    const to = join(folder, 'small.wasm');
    execFileSync(process.execPath, [program, ...OPTIMIZE, from, '-o', to], { stdio: ['ignore', 'inherit', 'inherit'] });
    return readFileSync(to);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function gzipped(bytes) {
  return gzipSync(bytes, { level: 9 });
}

function kib(bytes) {
  return bytes.length / 1024;
}

function print(step, bytes) {
  console.log(`${step.padEnd(24)}${kib(bytes).toFixed(1).padStart(9)} KiB`);
}
