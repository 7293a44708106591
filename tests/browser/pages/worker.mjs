// Devices in a dedicated worker.

import { answer } from './remote.mjs';

answer(globalThis);
