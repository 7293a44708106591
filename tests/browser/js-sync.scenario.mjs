// The JavaScript face (bindings/js) at a server: two pages that know nothing of each other are in step.

import { onSite } from './js/site.mjs';
import { sync } from './js/sync.mjs';

export default async function ({ browser }) {
  await onSite(({ url }) => sync({ browser, url }));
}
