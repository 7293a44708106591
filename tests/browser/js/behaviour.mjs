// What a page of JavaScript can rely on, beside what storex's own suite asks for.

import assert from 'node:assert/strict';
import { openTab } from '../tab.mjs';

/** Each is a function that runs in a page, with the package as `storex`; what it gives is compared with what stands beside it. */
const BEHAVIOUR = {
  'values come back as they went in': [async open => {
    const { collection } = await open({
      thing: {
        version: new Date(2026, 0, 1),
        fields: {
          day: { type: 'datetime' }, stamp: { type: 'timestamp' }, bytes: { type: 'binary' }, file: { type: 'blob' },
          whole: { type: 'int' }, large: { type: 'int' }, real: { type: 'float' }, any: { type: 'json' }, none: { type: 'string', optional: true },
          text: { type: 'string' },
        },
      },
    });
    const day = new Date('2026-11-30T12:34:56.789Z');
    const { object } = await collection('thing').createObject({
      day, stamp: day.getTime(), bytes: new Uint8Array([0, 255, 7]), file: new Blob(['abc'], { type: 'text/plain' }), whole: 5,
      large: 9007199254740993n, real: Infinity, any: { list: [1, 'two', null, true], gone: undefined }, text: '2026-11-30T00:00:00.000Z',
    });
    const found = await collection('thing').findObject({ day: { $lte: day }, bytes: new Uint8Array([0, 255, 7]), large: 9007199254740993n });
    return [object, found].map(it => ({
      ...it, id: typeof it.id, day: it.day.getTime() === day.getTime(), stamp: it.stamp === day.getTime(), bytes: [...it.bytes],
      file: it.file instanceof Blob && it.file.size, large: String(it.large), real: String(it.real),
    }));
  }, value => assert.deepEqual(value, Array(2).fill({
    id: 'string', day: true, stamp: true, bytes: [0, 255, 7], file: 3, whole: 5, large: '9007199254740993', real: 'Infinity',
    any: { list: [1, 'two', null, true] }, none: null, text: '2026-11-30T00:00:00.000Z',
  }))],

  'what points to a parent is of the type of its key, however large that is': [async (open, _, until) => {
    const version = new Date(2026, 0, 1);
    const keyed = (type, name) => ({ version, fields: { [name]: { type } }, indices: [{ field: name, pk: true }] });
    const { manager, collection } = await open({
      parent: keyed('int', 'number'),
      day: keyed('datetime', 'when'),
      hash: keyed('binary', 'bytes'),
      // Its key is what it points to.
      profile: { version, fields: {}, relationships: [{ singleChildOf: 'parent' }], pkIndex: 'parent' },
      child: {
        version, fields: { n: { type: 'int' } },
        relationships: ['parent', 'day', 'hash', 'profile'].map(childOf => ({ childOf, optional: true, reverseAlias: 'children' })),
      },
    });
    const [large, when, bytes] = [9007199254740993n, new Date('2026-11-30T12:34:56.789Z'), new Uint8Array(16).fill(200)];
    const told = [];
    await manager.onChanges(({ changes = [] }) => told.push(...changes));
    await collection('parent').rawCreateObjects([{ number: large }, { number: 5 }]);
    await collection('day').createObject({ when });
    await collection('hash').createObject({ bytes });
    await collection('profile').createObject({ parent: large });
    const children = collection('child');
    const { object } = await children.createObject({ n: 1, parent: large, day: when, hash: bytes, profile: large });
    await children.createObject({ n: 2, parent: 5 });
    const found = await children.findObject({ parent: large, day: when, hash: bytes, profile: large });
    const [withParents] = await children.findObjects({ n: 1 }, { with: ['parent', 'day', 'hash'] });
    const [{ children: nested }] = await collection('parent').findObjects({ number: large }, { with: ['children'] });
    const small = await children.findObject({ n: 2 });
    await until(() => told.some(it => it.collection === 'profile'), () => told.length);
    const shown = value => (value instanceof Uint8Array ? [...value] : value instanceof Date ? value.getTime() : `${typeof value} ${value}`);
    const pointers = it => ['parent', 'day', 'hash', 'profile'].map(name => shown(it[name]));
    return {
      pointers: [object, found, nested[0]].map(pointers),
      parents: [withParents.parent.number, withParents.day.when, withParents.hash.bytes].map(shown),
      small: small.parent, told: told.filter(it => ['parent', 'profile'].includes(it.collection)).flatMap(it => it.pks.map(shown)).sort(),
      again: await children.updateObjects({ n: 2 }, { parent: found.parent }), count: await children.countObjects({ parent: large }),
    };
  }, value => {
    const large = 'bigint 9007199254740993';
    const all = [large, new Date('2026-11-30T12:34:56.789Z').getTime(), Array(16).fill(200), large];
    assert.deepEqual(value, {
      pointers: [all, all, all], parents: all.slice(0, 3), small: 5, told: [large, large, 'number 5'], again: 1, count: 2,
    });
  }],

  'what creates give back is what is stored: null where there is nothing': [async open => {
    const { collection } = await open({
      user: { version: new Date(2026, 0, 1), fields: { name: { type: 'string' } } },
      thing: {
        version: new Date(2026, 0, 1),
        fields: {
          title: { type: 'string' }, none: { type: 'string', optional: true }, any: { type: 'json', optional: true },
          secret: { type: 'random-key' }, at: { type: 'timestamp' }, bytes: { type: 'binary', optional: true },
        },
        relationships: [{ childOf: 'user', optional: true }],
      },
    });
    const things = collection('thing');
    const given = [
      { title: 'a', none: undefined, any: { b: 1, gone: undefined }, at: new Date(7), bytes: new Uint8Array([1]).buffer },
      { title: 'b', user: undefined, at: 8 },
    ];
    const { objects } = await things.rawCreateObjects(given);
    const found = await things.findObjects({}, { order: [['title', 'asc']] });
    const { object } = await things.createObject({ ...given[0], title: 'c' });
    return [objects, found, [object]].map(list => list.map(it => ({
      ...it, id: it.id.length, secret: it.secret.length, undefined: Object.values(it).includes(undefined), bytes: it.bytes && [...it.bytes],
    })));
  }, value => {
    const a = { id: 36, title: 'a', none: null, any: { b: 1 }, secret: 40, at: 7, bytes: [1], user: null, undefined: false };
    const both = [a, { ...a, title: 'b', any: null, at: 8, bytes: null }];
    assert.deepEqual(value, [both, both, [{ ...a, title: 'c' }]]);
  }],

  'what would be something else when it comes back is refused': [async (open, kindOf) => {
    const { collection } = await open({
      thing: { version: new Date(2026, 0, 1), fields: { whole: { type: 'int', optional: true }, any: { type: 'json', optional: true }, bytes: { type: 'binary', optional: true } } },
    });
    const things = collection('thing');
    return Promise.all([
      { whole: NaN }, { whole: 1.5 }, { whole: '1' }, { whole: new Date() }, { any: new Date() }, { any: [undefined] }, { any: new Map() },
      { bytes: 'AAAA' }, { unknown: 1 },
    ].map(object => kindOf(things.createObject(object))));
  }, value => assert.deepEqual(value, Array(9).fill('invalid'))],

  'a filter that is wrong never means all objects': [async (open, kindOf) => {
    const { collection } = await open({ thing: { version: new Date(2026, 0, 1), fields: { whole: { type: 'int' } } } });
    const things = collection('thing');
    await things.rawCreateObjects([{ whole: 1 }, { whole: 2 }, { whole: 3 }]);
    const kinds = await Promise.all([
      things.deleteObjects(), things.deleteObjects({ id: undefined }), things.deleteObjects({ whole: { $greater: 1 } }),
      things.deleteObjects({ whole: [1, 2] }), things.deleteObjects({ whole: new Date(0) }), things.updateObjects(undefined, { whole: 0 }),
      things.deleteObjects({}, { limit: 2 }), things.findObjects({}, { database: 'other' }),
    ].map(kindOf));
    return [kinds, await things.countObjects(), await things.deleteObjects({ whole: { $gte: 2 } }, { limit: 2 })];
  }, value => assert.deepEqual(value, [[...Array(6).fill('invalid'), 'conflict', 'unsupported'], 3, 2])],

  'middleware: the first one is the outermost; it may change, answer, and tell those further in': [async open => {
    const { manager, collection } = await open({ thing: { version: new Date(2026, 0, 1), fields: { title: { type: 'string' } } } });
    const seen = [];
    const later = () => new Promise(done => setTimeout(done, 1));
    const list = [
      {
        async process({ operation, extraData, next }) {
          seen.push(['outer', operation[0], { ...extraData }]);
          await later();
          const result = await next.process({ operation, extraData: { from: 'outer' } });
          seen.push('outer again');
          return result;
        },
      },
      {
        async process({ operation, extraData, next }) {
          seen.push(['inner', operation[0], { ...extraData }]);
          if (operation[0] === 'countObjects') return 42;
          if (operation[0] !== 'createObject') return next.process({ operation });
          const [name, collection, object] = operation;
          return next.process({ operation: [name, collection, { ...object, title: object.title.toUpperCase() }] });
        },
      },
    ];
    const before = [...list];
    manager.setMiddleware(list);
    const given = { title: 'quiet' };
    const { object } = await collection('thing').createObject(given);
    return { title: object.title, given, count: await collection('thing').countObjects({}), seen, same: list.every((it, n) => it === before[n]) };
  }, value => assert.deepEqual(value, {
    title: 'QUIET', given: { title: 'quiet' }, count: 42, same: true,
    seen: [
      ['outer', 'createObject', {}], ['inner', 'createObject', { from: 'outer' }], 'outer again',
      ['outer', 'countObjects', {}], ['inner', 'countObjects', { from: 'outer' }], 'outer again',
    ],
  })],

  'a batch is all or nothing, and changes nothing of what it is given': [async (open, kindOf) => {
    const { manager, collection } = await open({
      user: { version: new Date(2026, 0, 1), fields: { name: { type: 'string' } }, indices: [{ field: 'name', unique: true }] },
      email: { version: new Date(2026, 0, 1), fields: { address: { type: 'string' } }, relationships: [{ childOf: 'user', reverseAlias: 'emails' }] },
    });
    const batch = [
      { operation: 'createObject', collection: 'user', placeholder: 'ada', args: { name: 'Ada' } },
      { operation: 'createObject', collection: 'email', placeholder: 'mail', args: { address: 'a@x' }, replace: [{ path: 'user', placeholder: 'ada' }] },
      { operation: 'updateObjects', collection: 'email', where: { address: 'a@x' }, updates: { address: 'b@x' } },
    ];
    const before = JSON.stringify(batch);
    const { info } = await manager.operation('executeBatch', batch);
    const kind = await kindOf(manager.operation('executeBatch', [
      { operation: 'createObject', collection: 'user', args: { name: 'Bob' } },
      { operation: 'createObject', collection: 'user', args: { name: 'Ada' } },
    ]));
    const { object } = await collection('user').createObject({ name: 'Cy', emails: [{ address: 'c@x' }] });
    const [cy] = await collection('user').findObjects({ emails: { $related: { address: 'c@x' } } }, { with: ['emails'] });
    return {
      linked: info.mail.object.user === info.ada.object.id, kind, same: JSON.stringify(batch) === before,
      names: (await collection('user').findObjects({}, { order: [['name', 'asc']] })).map(it => it.name),
      addresses: (await collection('email').findObjects({}, { order: [['address', 'desc']] })).map(it => it.address),
      nested: object.emails[0].user === object.id && cy.emails[0].address,
    };
  }, value => assert.deepEqual(value, {
    linked: true, kind: 'conflict', same: true, names: ['Ada', 'Cy'], addresses: ['c@x', 'b@x'], nested: 'c@x',
  })],

  'options of finds': [async (open, kindOf) => {
    const { manager, collection } = await open({
      page: {
        version: new Date(2026, 0, 1), fields: { title: { type: 'string' }, text: { type: 'text' }, n: { type: 'int' } }, indices: [{ field: 'text' }],
      },
    });
    const pages = collection('page');
    const { objects } = await pages.rawCreateObjects(['Ada', 'ada', 'Bob'].map((title, n) => ({ title, n, text: `${title} is not always easy` })));
    const ns = async (where, options) => (await pages.findObjects(where, options)).map(it => it.n);
    const streamed = [];
    for await (const page of manager.backend.streamObjects('page')) streamed.push(page.n);
    return [
      objects.every(it => it.id.length === 36), await ns({}, { order: [['n', 'desc']], skip: 1, limit: 1 }),
      await ns({}, { order: [['n', 'asc']], reverse: true }), await ns({}, { reverse: true }), await ns({ title: 'ADA' }, { ignoreCase: ['title'] }),
      await pages.countObjects({ title: 'ADA' }, { ignoreCase: ['title'] }), await ns({ text: ['easy', 'bob'] }), await pages.findObject({ n: 2 }, { fields: ['title'] }),
      streamed, await pages.findObject({ n: 9 }), await kindOf(pages.findObjects({}, { upsideDown: true })),
      await kindOf(pages.rawCreateObjects([{ title: 'a', n: 9, text: 'b' }, { ...objects[0] }])), await pages.countObjects(),
    ];
  }, value => assert.deepEqual(value, [
    true, [1], [2, 1, 0], [2, 1, 0], [0, 1], 2, [2], { title: 'Bob' }, [0, 1, 2], null, 'invalid', 'conflict', 3,
  ])],

  'plug-ins add operations, and what nobody has is refused by name': [async (open, kindOf) => {
    const { manager } = await open({ thing: { version: new Date(2026, 0, 1), fields: { title: { type: 'string' } } } });
    manager.backend.use({
      install(backend) {
        backend.registerOperation('my-project:storex.shout', async text => `${text}!`);
      },
    });
    return [
      await manager.operation('my-project:storex.shout', 'hey'), await kindOf(manager.operation('findEverything', 'thing')),
      await kindOf((async () => manager.backend.registerOperation('mine', async () => {}))()), await kindOf(manager.collection('gone').findObjects({})),
    ];
  }, value => assert.deepEqual(value, ['hey!', 'unsupported', 'invalid', 'not-found'])],

  'a newer definition is taken up, and integer keys are drawn where asked for': [async open => {
    const fields = { title: { type: 'string' } };
    const indices = [{ field: 'number', pk: true, autoInc: true }];
    const old = { version: new Date(2026, 0, 1), fields, indices };
    const first = await open({ thing: old });
    const { object } = await first.collection('thing').createObject({ title: 'kept' });
    await first.manager.backend.cleanup();
    const newer = { version: new Date(2026, 0, 2), fields: { ...fields, note: { type: 'string', optional: true } }, indices };
    const second = await open({ thing: [newer, old] }, first.manager.backend.dbName);
    const found = await second.collection('thing').findObjects({});
    return [Number.isSafeInteger(object.number), found.length, found[0].number === object.number, found[0].title, found[0].note];
  }, value => assert.deepEqual(value, [true, 1, true, 'kept', null])],

  'what is closed stays closed: a late call fails, and opens nothing': [async (open, kindOf) => {
    const { manager, collection } = await open({ thing: { version: new Date(2026, 0, 1), fields: { n: { type: 'int' } } } });
    const { backend } = manager;
    const things = collection('thing');
    await things.createObject({ n: 1 });
    await Promise.all([backend.cleanup(), backend.cleanup()]);
    const kinds = await Promise.all([
      things.findObjects({}), things.createObject({ n: 2 }), things.updateObject({ id: 'x' }, { n: 2 }), things.deleteObjects({}), manager.operation('executeBatch', []),
      manager.liveQuery('thing', {}, {}, () => {}), manager.onChanges(() => {}), backend.streamObjects('thing').next(), backend.migrate(),
      manager.finishInitialization(),
    ].map(kindOf));
    const request = indexedDB.deleteDatabase(backend.dbName);
    const deleted = await new Promise(done => {
      for (const type of ['success', 'blocked', 'error']) request.addEventListener(type, () => done(type));
    });
    const late = await kindOf(things.countObjects());
    const { length } = (await indexedDB.databases()).filter(({ name }) => name === backend.dbName);
    return [kinds, deleted, late, length];
  }, value => assert.deepEqual(value, [Array(10).fill('closed'), 'success', 'closed', 0])],

  'live queries and changes are told after the commit, until they are ended': [async (open, _, until) => {
    const { manager, collection } = await open({ thing: { version: new Date(2026, 0, 1), fields: { n: { type: 'int' } } } });
    const [results, events] = [[], []];
    const told = () => [results, events.map(({ origin, changes = [] }) => [origin, ...changes.map(it => [it.type, it.collection, it.pks.length])])];
    const ends = [
      await manager.liveQuery('thing', { n: { $gte: 2 } }, { order: [['n', 'desc']] }, found => results.push(found.map(it => it.n))),
      await manager.onChanges(event => events.push(event)),
    ];
    await until(() => results.length >= 1, told);
    await collection('thing').createObject({ n: 2 });
    await until(() => results.length >= 2, told);
    await collection('thing').createObject({ n: 1 }); // is none of it
    await collection('thing').updateObjects({ n: 1 }, { n: { $inc: 5 } });
    await until(() => results.length >= 3 && events.length >= 3, told);
    const counts = [];
    await manager.liveQuery('thing', {}, {}, found => counts.push(found.length)); // goes on until the database is closed
    await until(() => counts.length >= 1, () => counts);
    ends.forEach(end => end());
    await collection('thing').deleteObjects({});
    await until(() => counts.at(-1) === 0, () => counts);
    return told();
  }, value => assert.deepEqual(value, [
    [[], [2], [6, 2]],
    [['local', ['create', 'thing', 1]], ['local', ['create', 'thing', 1]], ['local', ['modify', 'thing', 1]]],
  ])],

  'what one tab commits is told in another': [async (open, _, until) => {
    const collections = { thing: { version: new Date(2026, 0, 1), fields: { n: { type: 'int' } } } };
    const here = await open(collections);
    const there = await open(collections, here.manager.backend.dbName); // another tab, as far as the first one can tell
    const [results, events] = [[], []];
    const told = () => [results, events];
    await there.manager.liveQuery('thing', {}, { order: [['n', 'asc']] }, found => results.push(found.map(it => it.n)));
    await there.manager.onChanges(event => events.push(event));
    await until(() => results.length >= 1, told);
    const { object } = await here.collection('thing').createObject({ n: 1 });
    await until(() => results.at(-1)?.length === 1 && events.some(it => it.changes), told);
    // One without changes may come before it: of a commit that takes long.
    const { origin, changes } = events.find(it => it.changes);
    const [{ type, collection, pks }] = changes;
    await here.collection('thing').deleteObjects({});
    await until(() => results.at(-1).length === 0, told);
    return [results, origin, type, collection, pks.length === 1 && pks[0] === object.id];
  }, value => assert.deepEqual(value, [[[], [1], []], 'local', 'create', 'thing', true])],
};

/** Runs each of them in one page, each with a database of its own. */
export async function behaviour({ browser, url }) {
  const page = await openPage(browser, url);
  for (const [name, [run, check]] of Object.entries(BEHAVIOUR)) {
    try {
      check(await page.evaluate(`(${inPage})(${run})`));
    } catch (why) {
      throw new Error(`${name}: ${why.message}`);
    }
  }
  await page.close();
}

/** What a case has at hand: a way to open databases, the kind of the error of a promise, and a way to wait. Runs in the page. */
async function inPage(run) {
  const opened = [];
  const open = async (collections, dbName = `case-${crypto.randomUUID()}`) => {
    const manager = new storex.StorageManager({ backend: new storex.StorexBackend({ dbName }) });
    opened.push(manager);
    manager.registry.registerCollections(collections);
    await manager.finishInitialization();
    return { manager, collection: name => manager.collection(name) };
  };
  const kindOf = promise => promise.then(
    () => 'no error',
    error => (error instanceof Error && error.name === 'StorexError' && error.retryable === false ? error.kind : `another error: ${error}`),
  );
  const until = async (condition, told) => {
    const deadline = performance.now() + 20_000;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`nothing more is told than ${JSON.stringify(told())}`);
      await new Promise(done => setTimeout(done, 5));
    }
  };
  const within = (seconds, what, promise) => Promise.race([
    promise,
    new Promise((_, late) => setTimeout(() => late(new Error(`not within ${seconds} s: ${what}`)), seconds * 1000)),
  ]);
  try {
    return await within(60, 'the end of the case', run(open, kindOf, until));
  } finally {
    for (const { backend } of opened) await within(20, `the end of the database ${backend.dbName}`, backend.dropDatabase());
  }
}

export async function openPage(browser, url) {
  const { page } = await openTab(browser, url, 'tests/page.html');
  return page;
}
