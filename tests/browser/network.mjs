// A network between devices and a server, which can break.

import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** Passes on whatever connects to it, until it is told to break. */
export class Network {
  #server;
  #listening;
  #lines = new Set();
  #refuses = false;
  /** How many connections it has cut, and how many it has refused. */
  cut = 0;
  refused = 0;
  url;

  /** To a server, which need not be there all the time. */
  static async to(url) {
    const network = new Network();
    network.#server = new URL(url);
    network.#listening = createServer(socket => network.#join(socket));
    network.#listening.listen(0, '127.0.0.1');
    await once(network.#listening, 'listening');
    network.url = `http://127.0.0.1:${network.#listening.address().port}`;
    return network;
  }

  #join(here) {
    if (this.#refuses) {
      this.refused += 1;
      here.resetAndDestroy();
      return;
    }
    const there = connect(Number(this.#server.port), this.#server.hostname);
    const line = new Line(here, there);
    this.#lines.add(line);
    line.ended.then(() => this.#lines.delete(line));
  }

  /** Breaks in one way after another, for so many milliseconds; `random` gives numbers from 0 to 1. Then it is whole again. */
  async breakFor(milliseconds, random) {
    const end = performance.now() + milliseconds;
    while (performance.now() < end) {
      await sleep(50 + random() * 350);
      const lines = [...this.#lines];
      const one = lines[Math.floor(random() * lines.length)];
      const way = Math.floor(random() * 5);
      if (way === 0) for (const line of lines) this.#cut(line);
      else if (way === 1 && one) this.#cut(one);
      // In the middle of what is said next.
      else if (way === 2 && one) one.cutAfter(Math.floor(random() * 2000), () => (this.cut += 1));
      else if (way === 3) await this.#without(() => (this.#refuses = true), random() * 800, () => (this.#refuses = false));
      else if (way === 4) await this.#without(() => lines.forEach(line => line.hold()), random() * 800, () => lines.forEach(line => line.goOn()));
    }
    // Whoever still waits for bytes that were lost is not left waiting.
    for (const line of this.#lines) this.#cut(line);
  }

  async #without(begin, milliseconds, end) {
    begin();
    await sleep(milliseconds);
    end();
  }

  #cut(line) {
    this.cut += 1;
    line.cut();
  }

  async close() {
    for (const line of this.#lines) line.cut();
    this.#listening.close();
    await once(this.#listening, 'close');
  }
}

/** One connection: its two ends. */
class Line {
  #ends;
  #left = Infinity;
  #onCut;
  ended;

  constructor(here, there) {
    this.#ends = [here, there];
    this.ended = Promise.all(this.#ends.map(end => new Promise(closed => end.once('close', closed))));
    for (const [from, to] of [[here, there], [there, here]]) {
      from.on('data', bytes => this.#pass(from, to, bytes));
      from.on('end', () => to.end());
      // One end that is gone is the end of both.
      from.on('error', () => this.cut());
      from.on('close', () => to.destroy());
    }
  }

  #pass(from, to, bytes) {
    const passed = bytes.subarray(0, this.#left);
    this.#left -= bytes.length;
    if (to.writable && !to.write(passed)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
    if (this.#left > 0) return;
    this.#onCut();
    this.cut();
  }

  cutAfter(bytes, onCut) {
    if (this.#left !== Infinity) return;
    this.#left = bytes + 1;
    this.#onCut = onCut;
  }

  cut() {
    for (const end of this.#ends) end.resetAndDestroy();
  }

  hold() {
    for (const end of this.#ends) end.pause();
  }

  goOn() {
    for (const end of this.#ends) end.resume();
  }
}
