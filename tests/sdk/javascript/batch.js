'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { AV, unique, refusal } = require('./support');

// compat: batch.order batch.partial batch.delete_many batch.get batch.conditional
test('batch: many objects at once', async () => {
  const kind = unique('Item');
  const items = Array.from({ length: 25 }, (_, n) => new AV.Object(kind, { n }));
  const saved = await AV.Object.saveAll(items);
  assert.ok(saved.every((item) => item.id && item.createdAt));
  assert.equal(await new AV.Query(kind).count(), 25);

  items.forEach((item) => item.increment('n', 100));
  await AV.Object.saveAll(items, { fetchWhenSave: true });
  assert.deepEqual(items.map((item) => item.get('n')), Array.from({ length: 25 }, (_, n) => n + 100));

  const copies = items.slice(0, 3).map((item) => AV.Object.createWithoutData(kind, item.id));
  await AV.Object.fetchAll(copies);
  assert.deepEqual(copies.map((item) => item.get('n')), [100, 101, 102]);

  await AV.Object.destroyAll(items.slice(0, 20));
  assert.equal(await new AV.Query(kind).count(), 5);
  const gone = AV.Object.createWithoutData(kind, items[0].id);
  assert.equal((await refusal(AV.Object.fetchAll([gone]))).code, 101);
});

// compat: batch.partial
test('batch: one that fails does not stop the others', async () => {
  const kind = unique('Item');
  await new AV.Object(kind).save({ n: 1 });
  const items = [new AV.Object(kind, { n: 2 }), new AV.Object(kind, { n: 'text' }), new AV.Object(kind, { n: 3 })];
  const refused = await refusal(AV.Object.saveAll(items));
  assert.equal(refused.code, 111);
  assert.deepEqual(refused.results.map((each) => each instanceof Error), [false, true, false]);
  assert.equal(await new AV.Query(kind).count(), 3);
});

// compat: batch.children
test('batch: an object and the new ones that it points to', async () => {
  const [post, person] = [unique('Post'), unique('Person')];
  const author = new AV.Object(person, { name: 'A', friend: new AV.Object(person, { name: 'B' }) });
  const saved = new AV.Object(post, { title: 't', author, readers: [new AV.Object(person, { name: 'C' })] });
  await saved.save();
  const read = await new AV.Query(post).include('author.friend', 'readers').get(saved.id);
  assert.equal(read.get('author').get('friend').get('name'), 'B');
  assert.equal(read.get('readers')[0].get('name'), 'C');
});
