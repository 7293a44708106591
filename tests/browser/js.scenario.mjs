// The JavaScript face (bindings/js) in a page: storex's own published suite for backends, and what else a page relies on.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { behaviour } from './js/behaviour.mjs';
import { onSite, source } from './js/site.mjs';
import { bundle, suite } from './js/suite.mjs';

export default async function ({ browser }) {
  await onSite(async ({ url, built }) => {
    await types();
    await bundle(source, built);
    await suite({ browser, url, source });
    await behaviour({ browser, url });
  });
}

/** TypeScript accepts an application, and refuses what it is to refuse. */
async function types() {
  const tsc = join(source, 'node_modules/typescript/bin/tsc');
  await promisify(execFile)(process.execPath, [tsc, '-p', join(source, 'tests')]).catch(why => {
    throw new Error(`TypeScript refuses bindings/js/tests/types.ts:\n${why.stdout}`);
  });
}
