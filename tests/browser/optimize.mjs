// What becomes of a module of Rust before a user downloads it.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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

/** What wasm-opt makes of a file. */
export function optimized(from) {
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

export function gzipped(bytes) {
  return gzipSync(bytes, { level: 9 });
}

export function kib(bytes) {
  return bytes.length / 1024;
}

export function print(step, bytes) {
  console.log(`${step.padEnd(24)}${kib(bytes).toFixed(1).padStart(9)} KiB`);
}
