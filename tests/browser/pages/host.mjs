// The devices of this page or worker, by the names that the scenario gives them.

import init, { ask, ask_for_devices, at_step, Device, open_version } from '/pkg/storex_browser.js';

await init();
const devices = new Map();

/** Calls a method of a device; `open` and `openLike` make it. Objects go in and come out as JSON. */
export async function run(name, method, ...args) {
  if (method === 'openLike') {
    devices.set(name, await Device.open_like(name, ...args.map(encoded)));
    return null;
  }
  if (method === 'open') {
    const [database = name, { newer = false, strict = false, version } = {}] = args;
    devices.set(name, await (version ? open_version(database, version) : Device.open(database, newer, strict)));
    return null;
  }
  const device = devices.get(name);
  if (!device) throw new Error(`no device ${name} is open here`);
  const result = await device[method](...args.map(encoded));
  return typeof result === 'string' ? JSON.parse(result) : result;
}

/** Writes batches (see src/writer.rs), and says `told NUMBER` on the console when one is through. */
export function write(name, batches, seed) {
  return devices.get(name).write(batches, seed, number => console.log(`told ${number}`));
}

/** Stops here for ever when a step is reached for the `times`-th time from now, and says `stopped STEP` on the console. */
export function stopAt(step, times) {
  at_step(step, times, () => {
    console.log(`stopped ${step}`);
    for (;;);
  });
}

function encoded(value) {
  const plain = typeof value === 'object' && !(value instanceof MessagePort);
  return plain ? JSON.stringify(value) : value;
}

/** Calls a method of a device that opens a room, and says `told CODE` on the console. */
export async function host(name, method, ...args) {
  return JSON.parse(await devices.get(name)[method](code => console.log(`told ${code}`), ...args));
}

/** Single requests of the transport: see src/transport.rs. */
export const requests = {
  ask: async (...args) => JSON.parse(await ask(...args)),
  askForDevices: async (...args) => JSON.parse(await ask_for_devices(...args)),
};
