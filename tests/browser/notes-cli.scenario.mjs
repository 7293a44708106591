// The notes of a page (examples/notes-web) and of a terminal (examples/notes-cli): paired by a code, in either direction; in step live, both ways.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { NotesServer, NotesTab } from './notes.mjs';
import { temporary } from './temporary.mjs';

const DESKTOP = { width: 1200, height: 780 };

/** An edit is on the other device within this, in milliseconds, on a machine that has much else to do. */
const LIVE = 5000;

export default async function ({ browser }) {
  const { folder, remove } = await temporary('notes-cli');
  const data = join(folder, 'server');
  const server = new NotesServer(data);
  const terminals = [];
  const terminal = name => {
    const made = new Terminal(join(folder, `${name}.db`), name, server.link);
    terminals.push(made);
    return made;
  };
  try {
    await server.start();
    const page = await begun(await browser.createBrowserContext(), server);
    const laptop = terminal('laptop');
    await pairedByThePage(page, laptop);
    await live(page, laptop);
    await pairedByTheTerminal(await browser.createBrowserContext(), server, laptop);
    await apart(server, page, laptop);
    await unreadable(data);
  } finally {
    for (const { end } of terminals) end();
    await server.kill();
    await remove();
  }
}

/** The page is the first device. */
async function begun(context, server) {
  const page = await NotesTab.open(context, server.link, 'the page', DESKTOP);
  await page.fill('#name', 'Page');
  await page.click('#fresh');
  await page.click('#noted');
  await page.click('#go');
  await page.page.waitForSelector('.page');
  await page.write('Written in the page', 'before there was a terminal');
  await page.inStep();
  return page;
}

/** The page shows a code, which is typed in the terminal. */
async function pairedByThePage(page, laptop) {
  await page.click('#devices');
  await page.press('Add a device');
  await page.says('#code', /^\d{4,6}-\w{4}-\w{4}$/);
  assert.deepEqual(await laptop.run('pair', await page.text('#code')), { notes: 1 });
  await page.says('dialog', /has all your notes/);
  await page.press('Close');
  const [note] = await laptop.run('list');
  assert.equal(note.body, 'before there was a terminal');
}

/** `notes watch` sees what is typed in the page, and the page what another terminal writes. */
async function live(page, laptop) {
  const watching = laptop.start('watch');
  assert.equal((await watching()).event, 'watching');
  await page.openNote('Written in the page');
  await page.fill('#body', 'and edited');
  let begin = performance.now();
  let told;
  do { told = await watching(); } while (told.note.body !== 'and edited');
  assert.ok(performance.now() - begin < LIVE, `it took ${performance.now() - begin} ms to the terminal`);

  await laptop.run('edit', told.note.id, '--title', 'Edited in a terminal');
  begin = performance.now();
  await page.until('the title follows', async () => await page.value('#title') === 'Edited in a terminal');
  assert.ok(performance.now() - begin < LIVE, `it took ${performance.now() - begin} ms to the page`);
  await laptop.run('new', 'Written in a terminal');
  await page.hasTitles('Written in a terminal');
  await page.says('#devices', /^2 devices$/);
}

/** The terminal shows a code, which is typed in another browser. */
async function pairedByTheTerminal(context, server, laptop) {
  const inviting = laptop.start('add-device');
  const { code } = await inviting();
  const phone = await NotesTab.open(context, server.link, 'the phone', DESKTOP);
  await phone.fill('#name', 'Phone');
  await phone.click('#pair');
  await phone.fill('#typed', code.toLowerCase());
  await phone.click('#go');
  await phone.hasTitles('Edited in a terminal', 'Written in a terminal');
  assert.deepEqual(await inviting(), { paired: true });
  await phone.write('Written on the phone', '');
  await laptop.has('Written on the phone');
  await phone.page.close();
}

/** Without a server both write into one note; then both tell of it, and what was lost is put back in the terminal. */
async function apart(server, page, laptop) {
  const { id } = (await laptop.run('search', 'edited'))[0];
  await server.kill();
  await page.openNote('Edited in a terminal');
  await page.fill('#body', 'the version of the page');
  await page.says('#unsent', /to send/);
  await laptop.run('edit', id, '--body', 'the version of the terminal');
  await server.start();
  await page.says('#conflicts', /^1 conflict$/);
  let conflicts;
  await page.until('the terminal knows', async () => (conflicts = await laptop.run('conflicts')).length === 1);
  const [{ id: number, is, lost }] = conflicts;
  assert.deepEqual([is, lost].sort(), ['the version of the page', 'the version of the terminal']);
  await page.until('both have the same', async () => await page.value('#body') === is);
  await laptop.run('conflicts', '--undo', String(number));
  await page.until('what was lost is there again', async () => await page.value('#body') === lost);
}

/** The server has nothing that it could read. */
async function unreadable(data) {
  const words = ['Written in', 'Edited in', 'the version of'];
  const files = await readdir(data);
  assert.ok(files.length > 0);
  for (const file of files) {
    const bytes = await readFile(join(data, file));
    for (const word of words) assert.ok(!bytes.includes(word), `${file} has ${word}`);
  }
}

/** `notes` on one database; `cargo xtask browser` builds it. */
class Terminal {
  #program = process.env.STOREX_NOTES;
  #options;
  #env;
  #children = new Set();

  constructor(database, name, link) {
    assert.ok(this.#program, 'STOREX_NOTES must name the program notes; `cargo xtask browser` does');
    const invitation = new URLSearchParams(new URL(link).hash.slice(1));
    this.#options = ['--json', '--database', database];
    const [server, token] = [invitation.get('server'), invitation.get('token')];
    this.#env = { ...process.env, NOTES_SERVER: server, NOTES_TOKEN: token, NOTES_DEVICE: name };
  }

  /** Runs it to its end, and gives what it has printed. */
  async run(...args) {
    const done = await promisify(execFile)(this.#program, [...args, ...this.#options], { env: this.#env });
    return done.stdout === '' ? undefined : JSON.parse(done.stdout);
  }

  /** Starts it; what comes of it gives the next thing that it prints. */
  start(...args) {
    const child = spawn(this.#program, [...args, ...this.#options], { env: this.#env, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.add(child);
    // A scenario that hangs is not waited for.
    const end = () => child.kill('SIGKILL');
    process.once('exit', end);
    child.once('exit', () => process.off('exit', end));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`\`notes ${args.join(' ')}\` has ended`);
      return JSON.parse(value);
    };
  }

  /** Returns when a note with this title is here. */
  async has(title) {
    while (!(await this.run('list')).some(note => note.title === title)) await new Promise(next => setTimeout(next, 50));
  }

  end = () => {
    for (const child of this.#children) child.kill('SIGKILL');
  };
}
