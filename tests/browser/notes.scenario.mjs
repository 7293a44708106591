// The notes of examples/notes-web as somebody has them: on a desktop in two tabs, and on a phone that is paired by a code; without a network, too.
//
// It leaves pictures of all of it in target/screenshots.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DESKTOP, NotesServer, NotesTab, PHONE, Pictures } from './notes.mjs';
import { temporary } from './temporary.mjs';

const NOTES = [
  ['Reading list', 'The Left Hand of Darkness\nA Pattern Language\nThe Design of Everyday Things'],
  ['Bread, second try', '500 g flour, 350 g water, 10 g salt, a spoon of starter.\nFold it four times, then overnight in the fridge.'],
  ['Balcony', 'Tomatoes want more light. Basil beside them.\nWater in the evening.'],
  ['Lisbon in May', 'Night train to Irun, then Porto.\nAsk Mira for the address of the place with the blue tiles.'],
  ['Groceries', 'Milk, bread, lemons'],
];

export default async function ({ browser, root }) {
  const { folder, remove } = await temporary('notes');
  const server = new NotesServer(folder);
  const pictures = await Pictures.in(join(root, '../../target/screenshots'), browser);
  try {
    await server.start();
    const [home, pocket] = [await browser.createBrowserContext(), await browser.createBrowserContext()];
    const { desktop, passphrase } = await firstRun(home, server, pictures);
    await writing(desktop, pictures);
    const second = await secondTab(home, server, desktop, pictures);
    const phone = await pairing(pocket, server, desktop, pictures);
    await deleting(desktop, [second, phone]);
    await offLine(server, desktop, second, phone, pictures);
    await conflict(desktop, second, phone, pictures);
    const tablet = await recovered(await browser.createBrowserContext(), server, passphrase);
    await shutOut(desktop, second, phone, tablet, passphrase, pictures);
    await anotherToken(server, desktop, second, tablet, pictures);
  } catch (why) {
    await pictures.ofAll('failed');
    throw why;
  } finally {
    await server.kill();
    await remove();
  }
}

/** Somebody opens the link, and begins: a passphrase is shown once, and the page has the notes. */
async function firstRun(context, server, pictures) {
  const desktop = await NotesTab.open(context, server.link, 'the desktop', DESKTOP);
  assert.ok(!desktop.page.url().includes('token'), 'the token stays in the address');
  await pictures.take(desktop, 'first-run');
  await desktop.fill('#name', 'Desktop');
  await desktop.click('#fresh');
  const passphrase = await desktop.text('#passphrase');
  assert.match(passphrase, /^([0-9a-z]{4}-){4}[0-9a-z]{4}$/);
  await pictures.take(desktop, 'first-run-passphrase');
  await desktop.click('#noted');
  await desktop.click('#go');
  await desktop.page.waitForSelector('.page');
  await desktop.inStep();
  await desktop.says('.list', /No notes yet/);
  await pictures.take(desktop, 'no-notes');
  return { desktop, passphrase };
}

async function writing(desktop, pictures) {
  for (const [title, body] of NOTES) await desktop.write(title, body);
  await desktop.inStep();
  await desktop.says('#devices', /^1 device$/);
  // Words anywhere, in any order.
  await desktop.fill('#search', 'blue por');
  await desktop.until('only one has these words', async () => (await desktop.titles()).join() === 'Lisbon in May');
  await desktop.fill('#search', '');
  await desktop.hasTitles(...NOTES.map(([title]) => title));
  await desktop.openNote('Bread, second try');
  await pictures.take(desktop, 'desktop');
  await desktop.colours('dark');
  await pictures.take(desktop, 'dark');
  await desktop.colours('light');
}

/** Another tab of the same browser: what is typed in one is in the other, in the list and in the editor. */
async function secondTab(context, server, desktop, pictures) {
  const second = await NotesTab.open(context, server.page, 'the second tab', DESKTOP);
  await second.hasTitles(...NOTES.map(([title]) => title));
  await second.openNote('Groceries');
  await desktop.openNote('Groceries');
  await desktop.page.bringToFront();
  await desktop.fill('#body', 'Milk, bread, lemons, olives');
  await second.until('the text follows', async () => await second.value('#body') === 'Milk, bread, lemons, olives');
  await second.page.bringToFront();
  await second.fill('#title', 'Groceries for Friday');
  await desktop.until('the title follows', async () => await desktop.value('#title') === 'Groceries for Friday');
  await desktop.hasTitles('Groceries for Friday');
  await pictures.together([desktop, second], 'two-tabs');
  return second;
}

/** A phone gets the key and all notes from the desktop, by a code. */
async function pairing(context, server, desktop, pictures) {
  const phone = await NotesTab.open(context, server.link, 'the phone', PHONE);
  await pictures.take(phone, 'phone-first-run');
  await phone.fill('#name', 'Phone');
  await phone.click('#pair');
  await desktop.click('#devices');
  await desktop.press('Add a device');
  await desktop.says('#code', /^\d{4,6}-\w{4}-\w{4}$/);
  await pictures.take(desktop, 'add-a-device');
  // A slip of the finger is found before anything is sent.
  await phone.fill('#typed', '4821-UUUU-UUUU');
  await phone.click('#go');
  await phone.says('.problem', /no pairing code/);
  await phone.fill('#typed', (await desktop.text('#code')).toLowerCase());
  await phone.click('#go');
  await phone.hasTitles(...NOTES.slice(0, -1).map(([title]) => title), 'Groceries for Friday');
  await phone.inStep();
  await desktop.says('dialog', /has all your notes/);
  await pictures.take(desktop, 'pairing-done');
  await desktop.press('Close');
  await desktop.click('#devices');
  await desktop.says('.devices', /Phone/);
  await desktop.press('Close');
  await desktop.says('#devices', /^2 devices$/);
  await pictures.take(phone, 'phone-list');
  await phone.openNote('Lisbon in May');
  await pictures.take(phone, 'phone-note');
  // Live, both ways.
  await phone.fill('#body', 'Night train to Irun, then Porto. Two nights in Lisbon.');
  await desktop.openNote('Lisbon in May');
  await desktop.until('what the phone has typed is here', async () => /Two nights/.test(await desktop.value('#body')));
  return phone;
}

/** What was deleted is gone everywhere, and back everywhere. */
async function deleting(desktop, others) {
  await desktop.openNote('Balcony');
  await desktop.press('Delete');
  for (const tab of others) await tab.until('it is gone', async () => !(await tab.titles()).includes('Balcony'));
  await desktop.click('#undo');
  for (const tab of [desktop, ...others]) await tab.hasTitles('Balcony');
  await desktop.inStep();
}

/** The server is gone. Both devices write on, into the same note; and start again, without network. */
async function offLine(server, desktop, second, phone, pictures) {
  await desktop.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await phone.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await server.kill();
  await phone.openNote('Lisbon in May');
  await phone.fill('#body', 'Fly to Porto, rent a car, be in Lisbon by noon.');
  await phone.says('#unsent', /to send/);
  await desktop.openNote('Lisbon in May');
  await desktop.fill('#body', 'The night train, and a whole day in Porto. Book the place with the blue tiles.');
  await desktop.says('#unsent', /to send/);
  for (const tab of [desktop, phone]) {
    await tab.reload();
    await tab.openNote('Lisbon in May');
    await tab.says('#unsent', /to send/);
  }
  assert.match(await desktop.value('#body'), /a whole day in Porto/);
  assert.match(await phone.value('#body'), /rent a car/);
  await second.until('the other tab has it', async () => (await second.titles()).includes('Lisbon in May'));
  await desktop.page.setOfflineMode(true);
  await desktop.says('#phase', /^(Off-line|No server|The server does not answer|In step by another tab)/);
  await pictures.take(desktop, 'off-line');
  await desktop.page.setOfflineMode(false);
  await server.start();
}

/** Each of the two is told, compares, and takes the other one; and takes that back. */
async function conflict(desktop, second, phone, pictures) {
  const body = tab => tab.value('#body');
  const agree = async (what, pattern) => {
    for (const tab of [desktop, phone]) await tab.until(what, async () => pattern.test(await body(tab)));
  };
  for (const tab of [desktop, second, phone]) await tab.says('#conflicts', /^1 conflict$/);
  const won = await body(desktop);
  await phone.until('both have the same', async () => await body(phone) === won);
  const other = /whole day/.test(won) ? /rent a car/ : /whole day/;
  await desktop.click('#conflicts');
  await desktop.says('.conflict', /Lisbon in May/);
  await desktop.says('.version.won .text', new RegExp(won.slice(0, 12)));
  await desktop.says('.version:not(.won) .text', other);
  await desktop.says('.version:not(.won) .by', /Phone|Desktop/);
  await pictures.take(desktop, 'conflict-view');
  await phone.click('#conflicts');
  await phone.says('.version:not(.won) .text', other);
  await pictures.take(phone, 'conflict-view-phone');
  await phone.press('Close');

  await desktop.press('Use this instead');
  await agree('the other version is there', other);
  await desktop.says('dialog', /No conflicts/);
  await desktop.press('Close');
  await pictures.take(desktop, 'conflict-undo');
  await desktop.click('#undo');
  await agree('what was there is there again', new RegExp(won.slice(0, 12)));
}

/** No other device is at hand: the passphrase opens the notes. */
async function recovered(context, server, passphrase) {
  const tablet = await NotesTab.open(context, server.link, 'the tablet', PHONE);
  await tablet.fill('#name', 'Tablet');
  await tablet.click('#recover');
  await tablet.fill('#typed', passphrase);
  await tablet.click('#go');
  await tablet.hasTitles('Lisbon in May', 'Groceries for Friday');
  await tablet.inStep();
  return tablet;
}

/** The phone is lost. It gets nothing more; the tablet is asked for the new passphrase, and loses nothing meanwhile. */
async function shutOut(desktop, second, phone, tablet, former, pictures) {
  await desktop.click('#devices');
  await desktop.says('.devices', /Tablet/);
  await pictures.take(desktop, 'devices');
  await desktop.click('[aria-label="Shut out Phone"]');
  await desktop.says('dialog', /Phone gets no new notes/);
  const passphrase = await desktop.text('#passphrase');
  assert.match(passphrase, /^([0-9a-z]{4}-){4}[0-9a-z]{4}$/);
  await pictures.take(desktop, 'shut-out');
  await desktop.click('#noted');
  await desktop.click('#shut-out');
  await desktop.says('.devices', /Phone.*shut out/);
  await pictures.take(desktop, 'devices-shut-out');
  await desktop.press('Close');
  await desktop.write('After the phone', 'which does not get this');
  await desktop.inStep();
  await second.hasTitles('After the phone');
  await second.inStep();

  await phone.says('#phase', /^This device was shut out$/);
  await phone.click('#mend');
  await phone.says('dialog', /shut this one out/);
  await pictures.take(phone, 'shut-out-phone');
  await phone.press('Close');

  await tablet.says('#phase', /^The passphrase was changed$/);
  await tablet.write('Written without the key', 'and sent with it');
  await tablet.reload();
  await tablet.says('#phase', /^The passphrase was changed$/);
  await tablet.says('#unsent', /to send/);
  await pictures.take(tablet, 'new-passphrase-wanted');
  await tablet.click('#mend');
  await tablet.fill('#typed', former);
  await tablet.click('#go');
  await tablet.says('.problem', /passphrase/);
  await pictures.take(tablet, 'new-passphrase');
  await tablet.fill('#typed', passphrase);
  await tablet.click('#go');
  await tablet.hasTitles('After the phone');
  await tablet.inStep();
  await desktop.hasTitles('Written without the key');
  assert.ok(!(await phone.titles()).includes('After the phone'), 'the phone has got a note');
  await phone.page.close();
}

/** The server has another token. Each device is given it, by one of its tabs, and nothing is lost meanwhile. */
async function anotherToken(server, desktop, second, tablet, pictures) {
  await server.changeToken();
  for (const tab of [desktop, tablet]) {
    await tab.write(`Without a token on ${tab === desktop ? 'the desktop' : 'the tablet'}`, '');
    await tab.says('#phase', /^The server does not let this device in$/);
    await tab.says('#unsent', /to send/);
  }
  await desktop.click('#mend');
  await desktop.fill('#typed', 'no-token-of-this-server-000');
  await desktop.click('#go');
  await desktop.says('.problem', /token/);
  await pictures.take(desktop, 'new-token');
  await desktop.fill('#typed', server.link);
  await desktop.click('#go');
  await desktop.inStep();
  await second.inStep();
  // The new link fills it in.
  await tablet.page.goto(server.link);
  await tablet.page.reload();
  await tablet.click('#mend');
  await tablet.click('#go');
  await tablet.hasTitles('Without a token on the desktop');
  await desktop.hasTitles('Without a token on the tablet');
}
