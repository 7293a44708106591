// The transport of the browser (`WebTransport`) with a server that does what servers and what is between them do.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';
import { openTab } from './tab.mjs';

const LIMIT = 64 << 20;

export default async function ({ browser, url }) {
  const other = await Other.start();
  try {
    const tab = await openTab(browser, url);
    await bodies(tab, other);
    await compressed(tab, other);
    await withoutAnEnd(tab, other);
    await deadlines(tab, other);
    await errors(tab, other);
    await tab.close();
  } finally {
    await other.close();
  }
}

/** Large bodies get there and back as they are. */
async function bodies(tab, other) {
  for (const bytes of [0, 1, 70_000, 20 << 20]) {
    other.answer = async (request, response) => {
      const chunks = await request.toArray();
      response.setHeader('content-type', 'application/octet-stream');
      response.end(Buffer.concat(chunks));
    };
    const { sent, ...got } = await tab.call('ask', `${other.url}/echo`, bytes, LIMIT);
    assert.deepEqual(got, { status: 200, type: 'application/octet-stream', bytes, sum: sent });
  }
  // One byte more than is taken.
  other.answer = (_, response) => response.end(Buffer.alloc(1001));
  assert.equal((await tab.call('ask', `${other.url}/short`, 0, 1001)).bytes, 1001);
  assert.match((await tab.call('ask', `${other.url}/long`, 0, 1000)).error, /Transport.*too long/);
}

/** What is compressed on the way comes out as it was, and counts as large as it is then. */
async function compressed(tab, other) {
  const plain = Buffer.concat([randomBytes(1000), Buffer.alloc(200_000, 1)]);
  other.answer = (request, response) => {
    assert.match(request.headers['accept-encoding'], /gzip/);
    response.setHeader('content-encoding', 'gzip');
    response.end(gzipSync(plain));
  };
  const { bytes, sum } = await tab.call('ask', `${other.url}/packed`, 0, LIMIT);
  assert.deepEqual({ bytes, sum }, { bytes: plain.length, sum: plain.reduce((sum, byte) => sum + byte, 0) });
  assert.match((await tab.call('ask', `${other.url}/packed`, 0, 100_000)).error, /Transport.*too long/);
}

/** An answer that never ends is given up as soon as it is too long. */
async function withoutAnEnd(tab, other) {
  const ended = deferred();
  other.answer = (_, response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536)));
    };
    response.on('drain', more).on('close', ended.resolve);
    more();
  };
  assert.match((await tab.call('ask', `${other.url}/endless`, 0, 1 << 20)).error, /Transport.*too long/);
  await ended.promise;
}

/** When the deadline is over, the request is ended too: before the answer begins, and in the middle of it. */
async function deadlines(tab, other) {
  const beginnings = [
    () => {},
    response => response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 }).write('['),
  ];
  for (const begin of beginnings) {
    const ended = deferred();
    other.answer = (_, response) => {
      response.on('close', ended.resolve);
      begin(response);
    };
    assert.match((await tab.call('askForDevices', other.url, 200)).error, /^Timeout/);
    await ended.promise;
  }
}

/** What an answer, or none, becomes. */
async function errors(tab, other) {
  const asked = async answer => {
    other.answer = (_, response) => answer(response);
    return tab.call('askForDevices', other.url, 60_000);
  };
  const problem = (status, body, headers = {}) => response => {
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers });
    response.end(JSON.stringify({ type: 'about:blank', title: 'x', status, message: '', ...body }));
  };
  const page = (status, headers = {}) => response => {
    response.writeHead(status, { 'content-type': 'text/html', ...headers }).end('<h1>Hello</h1>');
  };
  const seen = { 'access-control-expose-headers': 'retry-after' };
  assert.deepEqual(await asked(response => response.setHeader('content-type', 'application/json').end('[]')), { devices: 0 });
  for (const [answer, error] of [
    [problem(401, { code: 'unauthorized', message: 'no' }), /^Unauthorized \{ reason: "no" \}/],
    [problem(403, { code: 'revoked' }), /^Unauthorized .*revoked/],
    [problem(429, { code: 'rate_limited', retry_after_ms: 2500 }), /^RateLimited \{ retry_after: 2.5s \}/],
    [problem(429, { code: 'rate_limited' }, { ...seen, 'retry-after': '3' }), /^RateLimited \{ retry_after: 3s \}/],
    [problem(404, { code: 'not_found' }), /^Protocol/],
    [problem(500, { code: 'internal', message: 'x' }), /^Transport .*"x"/],
    // What is between, which says nothing of storex.
    [page(401), /^Unauthorized/],
    [page(413), /^BodyTooLarge/],
    [page(502), /^Transport .*502/],
    [page(503, { ...seen, 'retry-after': '7' }), /^RateLimited \{ retry_after: 7s \}/],
    [page(200), /^Transport .*text\/html/],
    [page(302, { location: '/elsewhere' }), /^Transport .*redirects/],
    [response => response.setHeader('content-type', 'application/json').end('{'), /^Transport .*cannot be read/],
    // Half an answer, and none.
    [response => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
      response.write('[', () => response.destroy());
    }, /^Transport/],
    [response => response.destroy(), /^Transport/],
    // A server that does not let other origins in: the browser tells nothing of its answer.
    [response => response.removeHeader('access-control-allow-origin') ?? page(401)(response), /^Transport/],
  ]) {
    assert.match((await asked(answer)).error, error);
  }
  await other.close();
  assert.match((await tab.call('askForDevices', other.url, 60_000)).error, /^Transport/);
}

/** A server of another origin, which lets all in. */
class Other {
  #server;
  url;
  answer;

  static async start() {
    const other = new Other();
    const server = createServer(async (request, response) => {
      response.setHeader('access-control-allow-origin', '*');
      if (request.method === 'OPTIONS') {
        response.setHeader('access-control-allow-headers', 'authorization, content-type');
        return response.writeHead(204).end();
      }
      await other.answer(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    other.#server = server;
    other.url = `http://127.0.0.1:${server.address().port}`;
    return other;
  }

  async close() {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

function deferred() {
  const deferred = {};
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
}
