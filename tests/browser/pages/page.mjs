// What scenarios call in a page: devices here, in a worker of this page, and in the worker that all pages share.

import { contents, removeDatabase } from './contents.mjs';
import { host, requests, run, stopAt, write } from './host.mjs';
import { remote } from './remote.mjs';

let worker;
let shared;

globalThis.run = run;
globalThis.write = write;
globalThis.stopAt = stopAt;
globalThis.host = host;
Object.assign(globalThis, requests);
globalThis.contents = contents;
globalThis.removeDatabase = removeDatabase;

/** In this page's own worker. */
globalThis.inWorker = (...call) => {
  worker ??= remote(new Worker('worker.mjs', { type: 'module' }));
  return worker(call);
};

/** In the shared worker. */
globalThis.inSharedWorker = (...call) => {
  shared ??= remote(new SharedWorker('shared-worker.mjs', { type: 'module' }).port);
  return shared(call);
};

/** Initial sync over a MessageChannel from a device of this page to one of its worker; both reports. */
globalThis.sendToWorker = (from, to) => {
  const { port1, port2 } = new MessageChannel();
  return Promise.all([run(from, 'send', port1), worker([to, 'receive', port2], [port2])]);
};

/** The other way round. */
globalThis.receiveFromWorker = (to, from) => {
  const { port1, port2 } = new MessageChannel();
  return Promise.all([run(to, 'receive', port1), worker([from, 'send', port2], [port2])]);
};

/** Between two devices of this page. */
globalThis.sendHere = (from, to) => {
  const { port1, port2 } = new MessageChannel();
  return Promise.all([run(from, 'send', port1), run(to, 'receive', port2)]);
};

/** What Chromium says when it found its database damaged, and threw away all that this origin had: `none`, or why. */
globalThis.dataLoss = () => new Promise((resolve, reject) => {
  // It is told to whoever makes a database. That stays: to delete it would tidy up what the next start is to find.
  const request = indexedDB.open(`data-loss-${Date.now()}`);
  request.onupgradeneeded = ({ dataLoss = 'none', dataLossMessage }) => {
    resolve(dataLoss === 'none' ? dataLoss : `${dataLoss}: ${dataLossMessage}`);
  };
  request.onsuccess = () => request.result.close();
  request.onerror = () => reject(request.error);
});

globalThis.ready = true;
