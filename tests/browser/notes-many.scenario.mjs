// Some thousand notes come to a phone on its first run, from a terminal; somebody who waits sees how far they are.
//
// It leaves a picture of that in target/screenshots.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NotesServer, NotesTab, PHONE, Pictures, shot } from './notes.mjs';
import { temporary } from './temporary.mjs';
import { Terminal } from './terminal.mjs';

const NOTES = 3000;

/** A page of an initial sync has a mebibyte at most: with these there are some, and each one is told of. */
const BODY = 'All work and no play makes a note long. '.repeat(75);

export default async function ({ browser, root }) {
  const { folder, remove } = await temporary('notes-many');
  const server = new NotesServer(join(folder, 'server'));
  const pictures = await Pictures.in(join(root, '../../target/screenshots'), browser);
  let laptop;
  try {
    await server.start();
    laptop = new Terminal(join(folder, 'laptop.db'), 'Laptop', server.link);
    await laptop.run('init');
    const file = join(folder, 'notes.json');
    await writeFile(file, JSON.stringify(Array.from({ length: NOTES }, (_, at) => ({ title: `Day ${at + 1}`, body: BODY }))));
    assert.deepEqual(await laptop.run('import', file), { imported: NOTES });
    await firstRun(await browser.createBrowserContext(), server, laptop, pictures);
  } catch (why) {
    await pictures.ofAll('failed-many');
    throw why;
  } finally {
    await laptop?.end();
    await server.kill();
    await remove();
  }
}

async function firstRun(context, server, laptop, pictures) {
  const inviting = laptop.start('add-device');
  const { code } = await inviting();
  const phone = await NotesTab.open(context, server.link, 'the phone', PHONE);
  await phone.click('#pair');
  await phone.fill('#typed', code);
  await phone.page.evaluate(watchProgress);
  // Slow enough to be seen.
  const slow = await phone.page.createCDPSession();
  await slow.send('Emulation.setCPUThrottlingRate', { rate: 6 });
  await phone.click('#go');
  await phone.page.waitForFunction('document.querySelector("progress")?.value >= 30');
  await pictures.keep(await shot(phone.page), 'pairing-progress');
  await slow.detach();
  await phone.hasTitles('Day 1', `Day ${NOTES}`);
  assert.equal((await phone.titles()).length, NOTES);
  assert.deepEqual(await inviting(), { paired: true });

  const seen = await phone.page.evaluate('seen');
  const between = seen.filter(({ value }) => value > 0 && value < 100);
  assert.ok(between.length >= 3, `it was shown growing: ${JSON.stringify(seen)}`);
  assert.deepEqual(seen.map(it => it.value), seen.map(it => it.value).sort((a, b) => a - b));
  for (const { text } of between) assert.match(text, new RegExp(`^Receiving notes: \\d+ of ${NOTES}$`));
}

/** In the page: what its progress bar says from now on, and the words beside it. */
function watchProgress() {
  const seen = globalThis.seen = [];
  const look = () => {
    const [bar, step] = [document.querySelector('progress'), document.querySelector('#steps .now')];
    if (bar && seen.at(-1)?.value !== bar.value) seen.push({ value: bar.value, text: step?.textContent });
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}
