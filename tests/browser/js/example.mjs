// The page of plain JavaScript: bindings/js/example.

export async function openExample(context, url) {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(`${url}/example/index.html`);
  await page.waitForSelector('body[data-ready]');
  return page;
}

/** The lines of the list; one that is done begins with that word. */
export function shown(page) {
  return page.$$eval('#items li', lines => lines.map(it => `${it.className}${it.querySelector('span').textContent}`));
}

export async function add(page, title) {
  await page.type('#add [name=title]', title);
  await page.click('#add button');
}
