// What is in SQLite databases is the same in IndexedDB, down to the last value.
//
// Chinook, where the folder of real databases beside the repository has it, and one that is made here with all that is odd.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const exporter = process.env.STOREX_EXPORT;

export default async function ({ browser, url, root }) {
  assert.ok(exporter, 'STOREX_EXPORT must name the program storex-e2e-export; `cargo xtask browser` does');
  const page = await browser.newPage();
  await page.goto(`${url}/pages/copy.html`);
  await page.waitForFunction('window.ready');
  await same(page, 'odd', odd);
  const chinook = join(root, '../../../shared/data/chinook.sqlite');
  if (existsSync(chinook)) {
    const text = execFileSync(exporter, [chinook], { encoding: 'utf8', maxBuffer: 1 << 28 });
    const exported = JSON.parse(text);
    await same(page, 'chinook', exported);
    const rows = exported.collections.reduce((sum, one) => sum + one.rows.length, 0);
    console.log(`  chinook: ${exported.collections.length} tables, ${rows} rows, the same in IndexedDB`);
  } else {
    console.log('  chinook: not there, only the database of our own was compared');
  }
  await page.close();
}

async function same(page, name, exported) {
  const read = await page.evaluate((name, text) => window.copy(name, text), name, JSON.stringify(exported));
  assert.deepEqual(JSON.parse(read), exported);
}

const MAX = '9223372036854775807';
const odd = {
  collections: [
    {
      name: 'odd values',
      fields: [['a.b', 'integer', false], ['é', 'blob', true], ['__proto__', 'blob', true], ['select', 'real', true]],
      key: ['a.b'],
      indices: [[['é'], false], [['select', 'é'], false]],
      rows: [
        [{ i: `-${MAX}` }, null, { i: MAX }, { f: '5' }],
        [{ i: '-9007199254740993' }, { f: '5' }, '', null],
        [{ i: '0' }, { i: '5' }, '\u0000', { f: '0.1' }],
        [{ i: '9007199254740993' }, { b: '' }, { b: '00ff' }, { f: 'inf' }],
        [{ i: MAX }, '\u{1F600}\uFFFD', 'null', { f: '-1.7976931348623157' }],
      ],
    },
  ],
};
