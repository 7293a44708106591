// What the scenarios of the JavaScript face load: the package that `cargo xtask js` makes (`STOREX_JS` names it), and pages for it.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serve } from '../serve.mjs';
import { temporary } from '../temporary.mjs';

/** Where the source of the package is. */
export const source = fileURLToPath(new URL('../../../bindings/js/', import.meta.url));

/** Serves it while `work` runs; `built` is a folder for what is made for the pages. */
export async function onSite(work) {
  const folder = process.env.STOREX_JS;
  assert.ok(folder, 'STOREX_JS must name the package; `cargo xtask js` makes it, and `cargo xtask browser` does both');
  const { folder: built, remove } = await temporary('js');
  const site = await serve({
    '/built/': built,
    '/js/': folder,
    '/node_modules/': join(source, 'node_modules'),
    '/example/': join(source, 'example'),
    '/example/node_modules/storex-js/': folder,
    '/tests/': join(source, 'tests'),
  });
  try {
    await work({ url: site.url, built });
  } finally {
    await site.close();
    await remove();
  }
}
