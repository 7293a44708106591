// Folders that go when they are not needed any more.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new folder with the name in its own, and what removes it. */
export async function temporary(name) {
  const folder = await mkdtemp(join(tmpdir(), `storex-${name}-`));
  return { folder, remove: () => rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }) };
}
