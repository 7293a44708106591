// The module of Rust, loaded once.

import init, * as wasm from '../wasm/storex_js.js';

let loading;

/**
 * Loads the module. Nobody has to call it: whatever needs the module does. With `source` it is taken from there (a URL, a `Response`,
 * bytes, or a compiled module), where a bundler has moved the file.
 */
export function load(source) {
  loading ??= init(source === undefined ? undefined : { module_or_path: source }).then(
    () => wasm,
    why => {
      loading = undefined; // without a connection, say: it may be there the next time
      throw why;
    },
  );
  return loading;
}
