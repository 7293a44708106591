// Devices in a worker that all pages share.

import { answer } from './remote.mjs';

globalThis.onconnect = ({ ports: [port] }) => answer(port);
