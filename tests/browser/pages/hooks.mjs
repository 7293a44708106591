// What the scenario does to a page or worker: takes away what the browser has, hears of exchanges, hangs it.

const Broadcast = BroadcastChannel;
const exchanges = new Broadcast('exchanges');
const me = crypto.randomUUID();

/** Says that an exchange begins or ends. */
export function tell(what) {
  exchanges.postMessage({ what, by: me, at: performance.timeOrigin + performance.now() });
}

/** Calls back with all that is said of exchanges elsewhere. */
export function hear(listen) {
  new Broadcast('exchanges').onmessage = ({ data }) => listen(data);
}

/** Takes away what this browser is to lack: names of globals, and `locks`. */
export function lack(names) {
  for (const name of names) {
    if (name === 'locks') Object.defineProperty(navigator, 'locks', { value: undefined });
    else delete globalThis[name];
  }
}

/** From now on timers fire together, at the multiples of so many milliseconds: as those of a tab that was not seen for long do once a minute. */
export function throttle(period) {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (call, after = 0) => {
    const now = performance.now();
    return setTimeout(call, Math.ceil((now + after) / period) * period - now);
  };
}

/** Hangs when it is told to, until a moment. `atStep` is that of the module, where it may be told to hang in the middle of something. */
export function mayHang(atStep) {
  new Broadcast('hang').onmessage = ({ data: { name, until, steps } }) => {
    if (globalThis.name.includes(name)) hangAfter(steps, until, atStep);
  };
}

function hangAfter([step, ...further], until, atStep) {
  if (step) return atStep(step, 1, () => hangAfter(further, until, atStep));
  exchanges.postMessage({ what: 'hangs', by: me, at: Date.now() });
  while (Date.now() < until);
}

/** Has those hang whose name includes this one: at once, or when they have come to these steps (src/steps.rs), one after the other. */
export function hang(name, until, steps = []) {
  new Broadcast('hang').postMessage({ name, until, steps });
}
