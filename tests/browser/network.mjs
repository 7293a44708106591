// A network between devices and a server, which can break. It is that of the native chaos test (tests/e2e/src/fault_proxy.rs), in the process
// of the native devices.

import { setTimeout as sleep } from 'node:timers/promises';

/** Passes on whatever connects to it, until it is told to break. */
export class Network {
  #call;
  url;

  /** To a server, which need not be there all the time. */
  static async to(url, devices) {
    const network = new Network();
    network.#call = (...call) => devices.call(['network', ...call]);
    network.url = `http://${await network.#call('begin', new URL(url).host)}`;
    return network;
  }

  /** Breaks in one way after another, for so many milliseconds; `random` gives numbers from 0 to 1. Then it is whole again. */
  async breakFor(milliseconds, random) {
    const below = most => Math.floor(random() * most);
    const ways = [
      () => this.#call('cut_all'),
      () => this.#call('cut_one', below(100)),
      // In the middle of what is said next.
      () => this.#call('cut_within', below(2000)),
      () => this.#for(below(800), 'refuse'),
      () => this.#for(below(800), 'stall'),
    ];
    const end = performance.now() + milliseconds;
    while (performance.now() < end) {
      await sleep(50 + below(350));
      await ways[below(ways.length)]();
    }
    await this.#call('heal');
    // Whoever still waits for bytes that were lost is not left waiting.
    await this.#call('cut_all');
  }

  async #for(milliseconds, fault) {
    await this.#call(fault, true);
    await sleep(milliseconds);
    await this.#call(fault, false);
  }

  /** How many connections it has cut, and how many it has refused. */
  passed() {
    return this.#call('passed');
  }
}
