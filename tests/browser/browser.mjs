// The system's Chromium, headless, with a fresh profile; what goes wrong in a page is not overlooked.

import { accessSync, constants } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { temporary } from './temporary.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const KEPT_LINES = 40;

/** The browser's program: `CHROME`, or the first one of its usual names in `PATH`. */
export function executable() {
  if (process.env.CHROME) return process.env.CHROME;
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const found = NAMES.flatMap(name => folders.map(folder => join(folder, name))).find(runs);
  if (!found) throw new Error('no Chromium in PATH, and CHROME is not set; to install: apt-get install chromium');
  return found;
}

function runs(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** An empty profile in a folder of its own, for a browser that is started more than once on it. */
export function profile() {
  return temporary('browser');
}

/**
 * Starts the browser with the arguments that the wasm tests use.
 *
 * `problems` grows with every exception that nobody caught, in a page or a worker; `console` keeps the
 * last lines that pages and shared workers printed. Without a `folder` (see `profile`) the profile is fresh,
 * and removed by `close`. `args` are what the browser is told besides.
 *
 * @param {{ folder?: string, args?: string[] }} [options]
 */
export async function launch({ folder, args = [] } = {}) {
  const own = folder ? undefined : await profile();
  try {
    const browser = await start(folder ?? own.folder, args);
    const problems = [];
    const lines = [];
    watch(browser, why => problems.push(why), line => lines.push(line) > KEPT_LINES && lines.shift());
    const close = async () => {
      await browser.close();
      await own?.remove();
    };
    return { browser, problems, console: lines, close };
  } catch (why) {
    await own?.remove();
    throw why;
  }
}

async function start(folder, more) {
  const settings = await readFile(new URL('../../webdriver.json', import.meta.url), 'utf8');
  return puppeteer.launch({
    executablePath: executable(),
    args: [...JSON.parse(settings)['goog:chromeOptions'].args, ...more],
    userDataDir: folder,
    // What the browser leaves behind in the temporary folder goes with the profile.
    env: { ...process.env, TMPDIR: folder },
    // The browser ends with us, even if we are killed.
    pipe: true,
    // A page that works for longer than the default (3 min) is the scenario's affair, not the protocol's.
    protocolTimeout: 0,
    // On a busy machine the default (30 s) is not enough for a start that recovers a profile.
    timeout: 120_000,
  });
}

/** Reports uncaught exceptions and console lines of every page and worker there is or will be. */
function watch(browser, problem, line) {
  const attach = target => listen(target, problem, line).catch(() => {}); // gone before we could listen
  browser.targets().forEach(attach);
  browser.on('targetcreated', attach);
}

async function listen(target, problem, line) {
  const where = () => target.url();
  if (target.type() === 'page') {
    const page = await target.page();
    page.on('pageerror', why => problem(`${where()}: ${why?.stack ?? why}`));
    page.on('console', message => line(`${where()}: ${message.type()}: ${message.text()}`));
  } else if (target.type() === 'shared_worker' || target.type() === 'service_worker') {
    // Puppeteer keeps a worker's exceptions to itself; one's own session gets those of before, too.
    const session = await target.createCDPSession();
    session.on('Runtime.exceptionThrown', ({ exceptionDetails: { text, exception } }) =>
      problem(`${where()}: ${exception?.description ?? exception?.value ?? text}`));
    session.on('Runtime.consoleAPICalled', ({ type, args }) =>
      line(`${where()}: ${type}: ${args.map(arg => arg.value ?? arg.description ?? arg.type).join(' ')}`));
    // One that ends, and is made once more for pages that come later, waits for whoever listens to the former.
    session.on('Inspector.targetCrashed', () => session.send('Runtime.runIfWaitingForDebugger').catch(() => {})); // it was the last
    await session.send('Inspector.enable');
    await session.send('Runtime.enable');
  }
}
