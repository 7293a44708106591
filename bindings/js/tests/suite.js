// storex's own suite for backends, as it is published, on the backend of this package. Bundled by tests/browser/js.scenario.mjs.

import { testStorageBackend } from '@worldbrain/storex/lib/index.tests';
import { StorexBackend } from '/js/lib/index.js';

let databases = 0;

testStorageBackend(async context => {
  databases += 1;
  const backend = new StorexBackend({ dbName: `suite-${databases}` });
  context.cleanupFunction = () => backend.dropDatabase();
  return backend;
}, { fullTextSearch: true });

const cases = [];
mocha.run()
  .on('pass', test => cases.push({ title: test.fullTitle(), outcome: 'passed' }))
  .on('fail', (test, why) => cases.push({ title: test.fullTitle(), outcome: 'failed', why: why.message }))
  .on('pending', test => cases.push({ title: test.fullTitle(), outcome: 'skipped' }))
  .on('end', () => {
    globalThis.cases = cases;
  });
