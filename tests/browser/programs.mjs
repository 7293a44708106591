// The programs of the native side that scenarios start: a server, and devices. `cargo xtask browser` builds them.

import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { built, ended, spawned } from './child.mjs';
import { temporary } from './temporary.mjs';

const KEPT_LINES = 40;

/** Limits that a scenario, which is in a hurry, does not run into. */
export const WIDE = { requests_per_second: 1000, burst: 1000 };

/** Starts a server in a folder of its own for `{ token: user }`, works with it, and ends it. What it has logged is told with an error. */
export async function withServer(name, tokens, work) {
  const { folder, remove } = await temporary(name);
  const server = new Server(folder);
  try {
    await server.configure({ limits: WIDE });
    await server.letIn(tokens);
    await server.start();
    await work(server);
  } catch (why) {
    why.message += `\nthe server has logged:\n${server.log.join('\n')}`;
    throw why;
  } finally {
    await server.kill();
    await remove();
  }
}

/** `storex serve`, with a token for each user or device. Wherever it is started again it has the same address. */
export class Server {
  #folder;
  #database;
  #listen = '127.0.0.1:0';
  #child;
  url;
  /** The last lines that it has logged. */
  log = [];

  /** @param {string} folder where its files are  @param {string} [postgres] the address of PostgreSQL; without: SQLite */
  constructor(folder, postgres) {
    this.#folder = folder;
    this.#database = postgres ? ['--postgres', postgres] : ['--database', join(folder, 'server.db')];
  }

  /** Who may come: `{ token: user }`. A server that runs reads it again within a second. */
  async letIn(tokens) {
    const lines = Object.entries(tokens).map(([token, user]) => `${token} ${user}\n`);
    await writeFile(join(this.#folder, 'tokens.txt'), lines.join(''));
  }

  /** Writes down what is to differ from the configuration without one. */
  async configure(config) {
    await writeFile(join(this.#folder, 'config.json'), JSON.stringify(config));
  }

  /** Returns when it listens. */
  async start() {
    const args = ['serve', '--listen', this.#listen, ...this.#database];
    args.push('--tokens', join(this.#folder, 'tokens.txt'), '--config', join(this.#folder, 'config.json'));
    const { STOREX_POSTGRES: _, ...env } = process.env; // of whoever has a server of their own
    const child = spawned(built('STOREX_PROGRAM'), args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    await new Promise((listening, failed) => {
      child.once('error', failed);
      child.once('exit', code => failed(new Error(`the server has ended with ${code}:\n${this.log.join('\n')}`)));
      createInterface({ input: child.stderr }).on('line', line => {
        if (this.log.push(line) > KEPT_LINES) this.log.shift();
        const [, url] = /^storex: serving at (.*)$/.exec(line) ?? [];
        if (!url) return;
        this.url = url;
        this.#listen = new URL(url).host;
        listening();
      });
    });
  }

  /** `kill -9`: it has time for nothing. */
  kill() {
    return this.#end('SIGKILL');
  }

  /** It ends in order. */
  stop() {
    return this.#end('SIGTERM');
  }

  async #end(signal) {
    const child = this.#child;
    this.#child = undefined;
    await ended(child, signal);
  }
}

/** Native devices in one process: tests/e2e/src/bin/storex-e2e-devices.rs. */
export class NativeDevices {
  #child;
  #waiting = new Map();
  #last = 0;

  constructor() {
    const child = spawned(built('STOREX_DEVICES'), [], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    child.once('exit', () => this.#fail(new Error('the native devices have ended')));
    child.once('error', why => this.#fail(why));
    child.stdin.on('error', why => this.#fail(why));
    createInterface({ input: child.stdout }).on('line', line => this.#heard(JSON.parse(line)));
  }

  /** A call of a device, as `run` of a tab; what it tells meanwhile is given to `tell`. */
  call(call, tell) {
    return new Promise((resolve, reject) => {
      this.#last += 1;
      this.#waiting.set(this.#last, { resolve, reject, tell });
      this.#child.stdin.write(`${JSON.stringify({ id: this.#last, call })}\n`);
    });
  }

  #heard({ id, told, result, error }) {
    const waiting = this.#waiting.get(id);
    if (!waiting) return this.#fail(new Error(error));
    if (told !== undefined) return waiting.tell(told);
    this.#waiting.delete(id);
    if (error === undefined) waiting.resolve(result);
    else waiting.reject(new Error(error));
  }

  #fail(why) {
    for (const { reject } of this.#waiting.values()) reject(why);
    this.#waiting.clear();
  }

  async end() {
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.stdin.end();
    await gone;
  }
}
