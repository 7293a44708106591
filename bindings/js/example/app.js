// A list in plain JavaScript: there without a connection, and in step with other devices where there is one.

import StorageManager, { StorexBackend, Sync } from 'storex-js';

const storageManager = new StorageManager({ backend: new StorexBackend({ dbName: 'list', sync: true }) });
storageManager.registry.registerCollections({
  item: {
    version: new Date(2026, 10, 30),
    fields: {
      title: { type: 'string' },
      done: { type: 'boolean' },
      createdWhen: { type: 'datetime' },
    },
    indices: [{ field: 'createdWhen' }],
  },
});
// A title without blanks around it, whatever part of the application writes it.
storageManager.setMiddleware([{
  async process({ operation, next }) {
    const [name, collection, object, ...others] = operation;
    if (name !== 'createObject') return next.process({ operation });
    return next.process({ operation: [name, collection, { ...object, title: object.title.trim() }, ...others] });
  },
}]);
await storageManager.finishInitialization();
const items = storageManager.collection('item');

// The list, now and after each change: by this tab, or by another device.
await storageManager.liveQuery('item', {}, { order: [['createdWhen', 'asc']] }, async found => {
  byId('items').replaceChildren(...found.map(row));
  byId('count').textContent = `${await items.countObjects({ done: false })} to be done`;
});

onSubmit('add', async form => {
  await items.createObject({ title: form.title.value, done: false, createdWhen: new Date() });
  form.reset();
});

onSubmit('sync', async form => {
  const sync = await Sync.start(storageManager, { server: form.server.value, token: form.token.value, deviceName: 'a page' });
  sync.subscribe(async ({ phase, inStep, unsent, lastError }) => {
    byId('status').textContent = inStep ? 'in step' : `${phase}, ${unsent} unsent${lastError ? `: ${lastError}` : ''}`;
    const lost = (await sync.conflicts()).filter(conflict => conflict.isLoss);
    byId('conflicts').replaceChildren(...lost.map(conflict => conflictRow(sync, conflict)));
  });
  for (const element of form.elements) element.disabled = true;
});
document.body.dataset.ready = 'yes';

function row(item) {
  const done = Object.assign(document.createElement('input'), { type: 'checkbox', checked: item.done });
  done.onchange = () => items.updateOneObject(item, { done: done.checked });
  const remove = button('Delete', () => items.deleteOneObject(item));
  return line([done, text(item.title), remove], item.done);
}

function conflictRow(sync, conflict) {
  const undo = button('Put back', async () => {
    await sync.undo(conflict);
    undo.closest('li').remove();
  });
  return line([text(`Given up: ${JSON.stringify(conflict.lost.fields)}`), undo]);
}

function line(children, isDone) {
  const element = document.createElement('li');
  element.className = isDone ? 'done' : '';
  element.replaceChildren(...children);
  return element;
}

function text(content) {
  return Object.assign(document.createElement('span'), { textContent: content });
}

function button(label, onclick) {
  return Object.assign(document.createElement('button'), { textContent: label, type: 'button', onclick });
}

function byId(id) {
  return document.getElementById(id);
}

function onSubmit(id, handle) {
  byId(id).onsubmit = event => {
    event.preventDefault();
    handle(event.target).catch(why => alert(why.message));
  };
}
