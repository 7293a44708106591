// Names of operations: `operation`, `backend.operation`, `project:backend.operation`, `project:operation`.

import { invalid } from './errors.js';

const FORM = /^(?:([\w-]+):)?(?:([\w-]+)\.)?([\w-]+)$/;

export function parseIdentifier(identifier) {
  const [, project = null, backend = null, operation] = FORM.exec(identifier) ?? [];
  if (!operation) throw invalid(`\`${identifier}\` is no name of an operation; one is \`project:backend.operation\``);
  return { project, backend, operation };
}
