// Runs the scenarios of this folder, each in a browser of its own:
//
//   node run.mjs [--long] [--pkg FOLDER] [NAME..]
//
// A scenario is a file `NAME.scenario.mjs` with a default export
//
//   async function ({ browser, url, root, long, problems }) { .. }
//
// and, if it waits most of the time and nothing in it depends on how quick it is, `export const patient = true`: it runs beside the others then.
// It throws when something is wrong: `browser` is puppeteer's; `url` serves this folder, and under `/pkg/`
// the package that wasm-bindgen made (FOLDER, by default target/browser); `root` is this folder; `long` asks for more;
// `problems` has the exceptions that nobody caught, each of which fails the scenario unless it is taken out.

import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from './browser.mjs';
import { serve } from './serve.mjs';

const ENDING = '.scenario.mjs';
const root = fileURLToPath(new URL('.', import.meta.url));

// Not `exitCode`: a timer that a scenario left behind must not hold us up.
process.exit(await main());

async function main() {
  const { values: { long, pkg }, positionals } = parseArgs({
    options: {
      long: { type: 'boolean', default: false },
      pkg: { type: 'string', default: join(root, '../../target/browser') },
    },
    allowPositionals: true,
  });
  const files = positionals.length > 0 ? positionals.map(file) : await all();
  if (files.length === 0) {
    console.error(`no file *${ENDING} in ${root}: nothing was checked`);
    return 1;
  }
  const server = await serve({ '/': root, '/pkg/': resolve(pkg) });
  const context = { url: server.url, root, long };
  const scenarios = await Promise.all(files.map(load));
  const lanes = [true, false].map(patient => failures(scenarios.filter(it => it.patient === patient), context));
  const failed = (await Promise.all(lanes)).reduce((sum, lane) => sum + lane);
  await server.close();
  console.log(`${files.length - failed} scenario(s) passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** The file of a scenario that was named with or without its ending or its folder. */
function file(name) {
  return name.endsWith(ENDING) ? resolve(name) : join(root, name + ENDING);
}

async function all() {
  const names = await readdir(root);
  return names.filter(name => name.endsWith(ENDING)).sort().map(name => join(root, name));
}

/** A scenario. What cannot be loaded fails in its turn. */
async function load(path) {
  const module = await import(pathToFileURL(path)).catch(why => ({ default: () => { throw why; } }));
  return { path, scenario: module.default, patient: module.patient === true };
}

/** Runs these one after another: how many of them fail. */
async function failures(scenarios, context) {
  let failed = 0;
  for (const { path, scenario } of scenarios) {
    if (!await passes(path, scenario, context)) failed += 1;
  }
  return failed;
}

/** Runs one scenario and prints its line, with what was wrong below. */
async function passes(path, scenario, context) {
  const start = performance.now();
  const wrong = await run(path, scenario, context).catch(why => [described(why)]);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${wrong.length === 0 ? 'ok    ' : 'FAILED'}  ${basename(path, ENDING)}  ${seconds} s`);
  for (const text of wrong) console.log(text.replace(/^/gm, '        '));
  return wrong.length === 0;
}

/** Runs one scenario in a fresh browser, which is closed whatever happens. What was wrong is the answer. */
async function run(path, scenario, context) {
  if (typeof scenario !== 'function') throw new Error(`${basename(path)} has no default export to call`);
  const { browser, problems, console: lines, close } = await launch();
  const wrong = [];
  try {
    await within(context.long ? 1800 : 300, scenario({ ...context, browser, problems }));
  } catch (why) {
    wrong.push(described(why));
  } finally {
    await close();
  }
  wrong.push(...problems.map(problem => `uncaught in ${problem}`));
  if (wrong.length > 0) wrong.push(...lines.map(line => `printed by ${line}`));
  return wrong;
}

/** What hangs fails by name instead of holding up the run. */
async function within(seconds, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished after ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function described(why) {
  return why?.stack ?? String(why);
}
