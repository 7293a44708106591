// The notes of examples/notes-cli, as scenarios use them.

import { execFile } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { built, ended, spawned } from './child.mjs';
import { until } from './tab.mjs';

/** `notes` on one database, with the server and the token of a link. */
export class Terminal {
  #options;
  #env;
  #children = new Set();

  constructor(database, name, link) {
    const invitation = new URLSearchParams(new URL(link).hash.slice(1));
    this.#options = ['--json', '--database', database];
    const [server, token] = [invitation.get('server'), invitation.get('token')];
    this.#env = { ...process.env, NOTES_SERVER: server, NOTES_TOKEN: token, NOTES_DEVICE: name };
  }

  /** What is typed where a passphrase is asked for. */
  set passphrase(passphrase) {
    this.#env.NOTES_PASSPHRASE = passphrase;
  }

  /** Runs it to its end, and gives what it has printed. */
  async run(...args) {
    const run = promisify(execFile);
    const done = await run(built('STOREX_NOTES'), [...args, ...this.#options], { env: this.#env, maxBuffer: 1 << 28 });
    return done.stdout === '' ? undefined : JSON.parse(done.stdout);
  }

  /** Runs it to its end, which is a bad one, and gives what it says. */
  async refused(...args) {
    const done = await this.run(...args).then(() => undefined, why => why.stderr);
    if (done === undefined) throw new Error(`\`notes ${args.join(' ')}\` has not failed`);
    return done;
  }

  /** Starts it; what comes of it gives the next thing that it prints. */
  start(...args) {
    const options = { env: this.#env, stdio: ['ignore', 'pipe', 'inherit'] };
    const child = spawned(built('STOREX_NOTES'), [...args, ...this.#options], options);
    this.#children.add(child);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`\`notes ${args.join(' ')}\` has ended`);
      return JSON.parse(value);
    };
  }

  /** Returns when a note with this title is here. */
  async has(title) {
    await until(`the terminal has the note ${title}`, async () => (await this.run('list')).some(note => note.title === title), 60);
  }

  /** Ends all that was started. */
  async end() {
    await Promise.all([...this.#children].map(child => ended(child)));
  }
}
