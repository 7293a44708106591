// A tab as scenarios use it: it runs pages/page.html, or another page that says `ready`.

/** Opens a tab. What is called in it is the functions of its page (pages/page.mjs): `tab.call('run', 'a', 'dump')`. */
export async function openTab(browser, url, path = 'pages/page.html') {
  const page = await browser.newPage();
  // As for the start of the browser: a busy machine is not what fails a scenario.
  page.setDefaultTimeout(120_000);
  await page.goto(`${url}/${path}`);
  await page.waitForFunction('globalThis.ready');
  const call = (name, ...args) => page.evaluate((name, args) => globalThis[name](...args), name, args);
  return { page, call, run: (...args) => call('run', ...args), close: () => page.close() };
}

/** What the page of a tab tells next on its console, as `told WHAT`. */
export function toldBy({ page }) {
  return new Promise(told => {
    const hear = message => {
      const [word, what] = message.text().split(' ');
      if (word !== 'told') return;
      page.off('console', hear);
      told(what);
    };
    page.on('console', hear);
  });
}

/** Waits until a condition holds, and says what it waited for when it never does. */
export async function until(what, condition, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise(done => setTimeout(done, 20));
  }
}
