// The JavaScript face (bindings/js): storex's own published suite for backends, what else a page relies on, the example page, and
// sync of two pages. `STOREX_JS` names the package that `cargo xtask js` makes.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { behaviour } from './js/behaviour.mjs';
import { bundle, suite } from './js/suite.mjs';
import { sync } from './js/sync.mjs';
import { serve } from './serve.mjs';

const source = fileURLToPath(new URL('../../bindings/js/', import.meta.url));

export default async function ({ browser }) {
  const folder = process.env.STOREX_JS;
  assert.ok(folder, 'STOREX_JS must name the package; `cargo xtask js` makes it, and `cargo xtask browser` does both');
  const built = await mkdtemp(join(tmpdir(), 'storex-js-'));
  const site = await serve({
    '/built/': built,
    '/js/': folder,
    '/node_modules/': join(source, 'node_modules'),
    '/example/': join(source, 'example'),
    '/example/node_modules/storex-js/': folder,
    '/tests/': join(source, 'tests'),
  });
  const context = { browser, url: site.url, source };
  try {
    await types();
    await bundle(source, built);
    await suite(context);
    await behaviour(context);
    await sync(context);
  } finally {
    await site.close();
    await rm(built, { recursive: true, force: true });
  }
}

/** TypeScript accepts an application, and refuses what it is to refuse. */
async function types() {
  const tsc = join(source, 'node_modules/typescript/bin/tsc');
  await promisify(execFile)(process.execPath, [tsc, '-p', join(source, 'tests')]).catch(why => {
    throw new Error(`TypeScript refuses bindings/js/tests/types.ts:\n${why.stdout}`);
  });
}
