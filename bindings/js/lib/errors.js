// Errors of what never reaches Rust. They look as those of there do.

/** An `Error` of ours: `name` is "StorexError", `kind` what went wrong, `retryable` whether the same call may succeed later. */
export function storexError(kind, message) {
  return Object.assign(new Error(message), { name: 'StorexError', kind, retryable: false });
}

export function invalid(message) {
  return storexError('invalid', message);
}

export function unsupported(message) {
  return storexError('unsupported', message);
}
