// Calls of `run` (host.mjs) in another context, over anything with `postMessage`: a worker, or the port of a shared one.

/** A function that calls over there: `call([name, method, ..args], ports)`. */
export function remote(port) {
  const waiting = new Map();
  let last = 0;
  port.onmessage = ({ data: { id, result, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  };
  return (call, ports = []) => new Promise((resolve, reject) => {
    last += 1;
    waiting.set(last, { resolve, reject });
    port.postMessage({ id: last, call }, ports);
  });
}

/** Answers such calls. Nothing is missed while the module is loading: whoever is early waits. */
export function answer(port) {
  port.onmessage = async ({ data: { id, call } }) => {
    try {
      const { run } = await import('./host.mjs');
      port.postMessage({ id, result: await run(...call) });
    } catch (why) {
      port.postMessage({ id, error: String(why) });
    }
  };
}
