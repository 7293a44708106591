// storex's own suite for backends, as npm has it, in the browser; see bindings/js/tests/suite.js.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Of Node.js, what the suite and `expect` load, and nothing in them needs in a page. */
const NOT_IN_A_PAGE = ['assert', 'crypto', 'fs', 'module', 'path', 'util'];

/** Bundles the suite into a folder. */
export async function bundle(source, folder) {
  const { build } = createRequire(join(source, 'package.json'))('esbuild');
  await build({
    entryPoints: [join(source, 'tests/suite.js')],
    outfile: join(folder, 'suite.js'),
    bundle: true,
    format: 'esm',
    external: ['/js/*'],
    alias: Object.fromEntries(NOT_IN_A_PAGE.map(name => [name, join(source, 'tests/no-module.cjs')])),
    define: { global: 'globalThis' },
    banner: { js: 'globalThis.process ??= { env: {}, platform: "browser", version: "", cwd: () => "/" };' },
    logLevel: 'error',
  });
}

/** Every case passes but those that are listed with a reason, and of these none does. */
export async function suite({ browser, url, source }) {
  const page = await browser.newPage();
  await page.goto(`${url}/tests/suite.html`);
  await page.waitForFunction('globalThis.cases', { timeout: 240_000 });
  const cases = await page.evaluate('globalThis.cases');
  await page.close();

  const listed = JSON.parse(await readFile(join(source, 'tests/exceptions.json'), 'utf8'));
  const passed = cases.filter(it => it.outcome === 'passed');
  const others = cases.filter(it => it.outcome !== 'passed');
  const wrong = others.filter(it => !listed[it.title]);
  const exceptions = others.filter(it => listed[it.title]);
  console.log(`        storex's own suite: ${passed.length} passed, ${exceptions.length} listed exceptions, ${wrong.length} failed`);
  for (const { title } of exceptions) console.log(`        exception: ${title}: ${listed[title]}`);
  assert.deepEqual(wrong, [], 'cases that neither pass nor are listed in bindings/js/tests/exceptions.json');
  const rotten = Object.keys(listed).filter(title => !others.some(it => it.title === title));
  assert.deepEqual(rotten, [], 'listed in bindings/js/tests/exceptions.json, and they pass, or are not there');
  assert.ok(passed.length > 40, 'the suite has more cases than that');
}
