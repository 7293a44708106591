// The worker in which sync runs for all tabs. What it works with is in its address.

import { serveSync } from '/js/lib/index.js';
import { application } from './application.js';

const { dbName, server, keys, why, broken, ...login } = Object.fromEntries(new URLSearchParams(location.search));
// Who logs in later is told on this channel, and that is answered.
const logins = new BroadcastChannel(`logins of ${dbName}`);
logins.onmessage = ({ data }) => {
  login.token = data;
  logins.postMessage('known');
};

await serveSync(broken ? {} : application(dbName), async () => {
  if (why) throw new Error(why);
  return {
    server,
    keys: keys && Uint8Array.from(keys.split(','), Number),
    async token() {
      if (!login.token) throw new Error('nobody has logged in');
      return login.token;
    },
  };
});
