// The notes of a page (examples/notes-web) and of a terminal (examples/notes-cli): paired by a code, in either direction; in step live, both ways.

import assert from 'node:assert/strict';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DESKTOP, NotesServer, NotesTab } from './notes.mjs';
import { temporary } from './temporary.mjs';
import { Terminal } from './terminal.mjs';

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
    const desk = terminal('desk');
    await shutOut(page, laptop, desk);
    await anotherToken(folder, server, page, desk);
    await unreadable(data);
  } finally {
    await Promise.all(terminals.map(it => it.end()));
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

/** A terminal shuts the phone out. The page, and another terminal that watches, are asked for the new passphrase, and lose nothing meanwhile. */
async function shutOut(page, laptop, desk) {
  const inviting = laptop.start('add-device');
  await desk.run('pair', (await inviting()).code);
  const watching = desk.start('watch');
  assert.equal((await watching()).event, 'watching');

  const { id } = (await laptop.run('devices')).find(it => it.name === 'Phone');
  laptop.passphrase = 'seven green boats';
  await laptop.run('devices', '--revoke', id);
  await laptop.run('new', 'After the phone');
  await page.says('#phase', /^The passphrase was changed$/);
  await page.write('Written without the key', '');
  await desk.run('new', 'Written at the desk without the key');
  await page.click('#mend');
  await page.fill('#typed', 'eight red trains');
  await page.click('#go');
  await page.says('.problem', /passphrase/);
  await page.fill('#typed', 'seven green boats');
  await page.click('#go');
  await page.inStep();
  await page.hasTitles('After the phone');
  await laptop.has('Written without the key');

  desk.passphrase = 'eight red trains';
  assert.match(await desk.refused('unlock'), /passphrase/);
  desk.passphrase = 'seven green boats';
  await desk.run('unlock');
  // The one that watches has it by that.
  let told;
  do { told = await watching(); } while (told.note.title !== 'Written without the key');
  await page.hasTitles('Written at the desk without the key');
}

/** The server has another token; whoever is given it goes on. */
async function anotherToken(folder, server, page, desk) {
  await server.changeToken();
  await desk.run('new', 'Written at the desk without a token');
  await page.write('Written without a token', '');
  await page.says('#phase', /^The server does not let this device in$/);
  await page.click('#mend');
  await page.fill('#typed', server.link);
  await page.click('#go');
  await page.inStep();
  const file = join(folder, 'token.txt');
  await writeFile(file, 'no-token-of-this-server-000');
  assert.match(await desk.refused('login', '--token-file', file), /notes login/);
  await writeFile(file, new URLSearchParams(new URL(server.link).hash.slice(1)).get('token'));
  await desk.run('login', '--token-file', file);
  await page.hasTitles('Written at the desk without a token');
  await desk.has('Written without a token');
}

/** The server has nothing that it could read. */
async function unreadable(data) {
  const words = ['Written in', 'Edited in', 'the version of', 'After the', 'Written without'];
  const files = await readdir(data);
  assert.ok(files.length > 0);
  for (const file of files) {
    const bytes = await readFile(join(data, file));
    for (const word of words) assert.ok(!bytes.includes(word), `${file} has ${word}`);
  }
}
