// Programs that scenarios start; whatever becomes of the scenario, they end with us.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** What `cargo xtask browser` has built: it tells by a variable where that is. */
export function built(variable) {
  const path = process.env[variable];
  assert.ok(path, `${variable} must be set; \`cargo xtask browser\` does`);
  return path;
}

/** Starts a program. A scenario that hangs is not waited for: it is killed when we end. */
export function spawned(program, args, options) {
  const child = spawn(program, args, options);
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  return child;
}

/** Ends one that was started, if it is there and runs; returns when it is gone. With `SIGKILL` it has time for nothing. */
export async function ended(child, signal = 'SIGKILL') {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}
