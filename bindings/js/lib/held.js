// What goes on although the application does not keep it. Rust frees an object of its own when JavaScript has forgotten it, and ends
// with it what it does.

const held = new Set();

/** Keeps an object of Rust; what it gives lets go of it. */
export function hold(object) {
  held.add(object);
  return () => held.delete(object);
}

/** Keeps a subscription until the function that this gives ends it. */
export function ended(subscription) {
  const letGo = hold(subscription);
  return () => {
    letGo();
    subscription.stop();
  };
}
