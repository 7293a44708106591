// storex against Dexie, in one page, in turns:
//
//   node bench.mjs [--rounds N] [--pkg DIR] [--json]
//
// Logged creates in batches of 1,000, against Dexie with a log row that is written by hand beside each object in the same
// transaction; reads of all 10,000 objects, and of a range of an index. The ratios are the speed of storex over Dexie's.

import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from './browser.mjs';
import { serve } from './serve.mjs';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, pkg: { type: 'string' }, json: { type: 'boolean' } },
});
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const root = fileURLToPath(new URL('.', import.meta.url));
const server = await serve({ '/': root, '/pkg/': resolve(values.pkg ?? join(root, '../../target/browser')) });
const { browser, close } = await launch();
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(600_000);
  await page.goto(`${server.url}/pages/bench.html`);
  await page.waitForFunction('window.ready');
  const rounds = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    rounds.push(await page.evaluate((round) => window.round(round), round));
  }
  const ms = Object.fromEntries(Object.keys(rounds[0]).map((key) => [key, median(rounds.map((one) => one[key]))]));
  // Each round is a ratio of its own: what slows the machine slows both.
  const ratio = (dexie, storex) => Number(median(rounds.map((one) => one[dexie] / one[storex])).toFixed(3));
  const ratios = {
    indexeddb_create_vs_dexie: ratio('dexie_create', 'storex_create'),
    indexeddb_read_vs_dexie: ratio('dexie_read', 'storex_read'),
    indexeddb_range_vs_dexie: ratio('dexie_range', 'storex_range'),
  };
  if (values.json) console.log(JSON.stringify({ ratios, ms }, null, 2));
  else {
    for (const [key, value] of Object.entries(ms)) console.log(`${key.padEnd(28)} ${value.toFixed(0)} ms`);
    for (const [key, value] of Object.entries(ratios)) console.log(`${key.padEnd(28)} ${value}`);
  }
} finally {
  await close();
  await server.close();
}
