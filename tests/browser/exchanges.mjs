// Stands between tabs and a server, and notes when each exchange has begun and ended. Who asks tells its name as the first part of the
// path: `URL/NAME/v1/log/exchange`.

import { Agent, createServer, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const EXCHANGE = /^\/v1\/log\/exchange/;

/** What has passed. An exchange is `{ who, began, ended, how }`; `how` is `answered`, `given up` or, while it goes on, nothing. */
export class Exchanges {
  #server;
  #proxy;
  #agent = new Agent({ keepAlive: true });
  #delay;
  url;
  all = [];
  /** Pairs that were under way at the same time: `[the earlier, the later]`. */
  overlaps = [];

  /** @param {string} server  @param {(exchange: object) => number} delay so many milliseconds its answer takes longer */
  static async to(server, delay) {
    const exchanges = new Exchanges();
    exchanges.#server = new URL(server);
    exchanges.#delay = delay;
    await exchanges.#listen();
    return exchanges;
  }

  async #listen() {
    this.#proxy = createServer((asked, answer) => {
      this.#pass(asked, answer).catch(() => answer.destroy());
    });
    this.#proxy.on('upgrade', (asked, socket, head) => this.#upgrade(asked, socket, head));
    await new Promise(listening => this.#proxy.listen(0, '127.0.0.1', listening));
    this.url = `http://127.0.0.1:${this.#proxy.address().port}`;
  }

  /** Those under way now. */
  get underWay() {
    return this.all.filter(({ how }) => !how);
  }

  #begin(who) {
    const exchange = { who, began: Date.now() };
    for (const other of this.underWay) this.overlaps.push([other, exchange]);
    this.all.push(exchange);
    return exchange;
  }

  async #pass(asked, answer) {
    const { who, path } = split(asked.url);
    const exchange = asked.method === 'POST' && EXCHANGE.test(path) ? this.#begin(who) : undefined;
    const end = how => {
      if (exchange && !exchange.how) Object.assign(exchange, { how, ended: Date.now() });
    };
    const further = request(this.#further(asked, path));
    answer.once('close', () => {
      end('given up');
      further.destroy();
    });
    asked.pipe(further);
    try {
      const { statusCode, headers, body } = await answered(further);
      if (exchange) await sleep(this.#delay(exchange));
      // Before anybody can know of the answer.
      end('answered');
      delete headers['transfer-encoding'];
      answer.writeHead(statusCode, { ...headers, 'content-length': body.length }).end(body);
    } catch {
      answer.destroy();
    }
  }

  /** The socket goes through as it is. */
  #upgrade(asked, socket, head) {
    const further = request({ ...this.#further(asked, split(asked.url).path), agent: undefined });
    const cut = () => {
      socket.destroy();
      further.destroy();
    };
    socket.on('error', cut).on('close', cut);
    further.on('error', cut).on('response', cut).on('upgrade', ({ rawHeaders }, other, first) => {
      const lines = ['HTTP/1.1 101 Switching Protocols'];
      for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
      socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      socket.write(first);
      other.write(head);
      other.on('error', cut).on('close', cut);
      socket.pipe(other).pipe(socket);
    });
    further.end();
  }

  #further({ method, headers }, path) {
    const { hostname, port, host } = this.#server;
    return { hostname, port, method, path, headers: { ...headers, host }, agent: this.#agent };
  }

  async close() {
    const closed = new Promise(done => this.#proxy.close(done));
    this.#proxy.closeAllConnections();
    this.#agent.destroy();
    await closed;
  }
}

function split(url) {
  const [, who, path] = /^\/([^/]*)(\/.*)$/.exec(url) ?? [];
  return { who, path: path ?? '/' };
}

/** The whole of an answer. */
async function answered(asked) {
  const answer = await new Promise((done, failed) => asked.once('response', done).once('error', failed));
  const pieces = [];
  for await (const piece of answer) pieces.push(piece);
  return { statusCode: answer.statusCode, headers: answer.headers, body: Buffer.concat(pieces) };
}
