'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { AV, unique, refusal } = require('./support');

// compat: object.create object.get object.update object.delete
test('object: saved, read, changed, destroyed', async () => {
  const kind = unique('Plant');
  const plant = new AV.Object(kind);
  plant.set('name', 'fern');
  await plant.save();
  assert.match(plant.id, /^[0-9a-f]{24}$/);
  assert.ok(plant.createdAt instanceof Date);
  assert.deepEqual(plant.updatedAt, plant.createdAt);

  const read = await new AV.Query(kind).get(plant.id);
  assert.equal(read.get('name'), 'fern');
  assert.deepEqual(read.createdAt, plant.createdAt);

  await plant.save({ name: 'moss', height: 3 });
  await read.fetch();
  assert.deepEqual([read.get('name'), read.get('height')], ['moss', 3]);
  assert.ok(read.updatedAt >= read.createdAt);

  await plant.destroy();
  assert.equal((await refusal(new AV.Query(kind).get(plant.id))).code, 101);
});

// compat: values.types values.null
test('object: a value of every type comes back as it was', async () => {
  const kind = unique('Sample');
  const other = await new AV.Object(kind).save({ name: 'other' });
  const at = new Date('2026-01-02T03:04:05.678Z');
  const values = {
    text: '中文 "quoted" \\ / \u0000',
    integer: 42,
    double: -1.5,
    flag: false,
    at,
    list: [1, 'two', { three: [at] }],
    nested: { a: { b: [null, true] } },
    nothing: null,
  };
  const sample = new AV.Object(kind, values);
  sample.set('where', new AV.GeoPoint(39.9, 116.4));
  sample.set('other', other);
  await sample.save();

  const read = await new AV.Query(kind).get(sample.id);
  for (const [key, value] of Object.entries(values)) assert.deepEqual(read.get(key), value, key);
  assert.deepEqual([read.get('where').latitude, read.get('where').longitude], [39.9, 116.4]);
  assert.equal(read.get('other').id, other.id);
  assert.equal(read.get('other').className, kind);
});

// compat: op.increment op.add op.add_unique op.remove op.delete op.bits
test('object: operations', async () => {
  const kind = unique('Tally');
  const tally = await new AV.Object(kind).save({ n: 1, list: [1, 2], mask: 0b1100, gone: 'x' });
  tally.increment('n', 4);
  tally.increment('fresh');
  tally.add('list', 2);
  tally.bitAnd('mask', 0b0110);
  tally.unset('gone');
  tally.add('made', 'a');
  await tally.save();
  tally.addUnique('list', 2);
  tally.addUnique('list', 3);
  tally.bitOr('mask', 0b0001);
  await tally.save();
  tally.bitXor('mask', 0b1111);
  tally.increment('n', -2);
  await tally.save();

  const read = await new AV.Query(kind).get(tally.id);
  assert.deepEqual(read.get('list'), [1, 2, 2, 3]);
  assert.deepEqual(
    [read.get('n'), read.get('fresh'), read.get('mask'), read.get('made'), read.get('gone')],
    [3, 1, 0b1010, ['a'], undefined],
  );
  read.remove('list', 2);
  await read.save();
  await tally.fetch();
  assert.deepEqual(tally.get('list'), [1, 3], 'all equal elements go');
});

// compat: op.on_create
test('object: operations on an object that is not there yet', async () => {
  const kind = unique('Tally');
  const tally = new AV.Object(kind);
  tally.increment('n', 7);
  tally.add('list', 'a');
  tally.bitAnd('and', 5);
  tally.bitOr('or', 5);
  tally.bitXor('xor', 5);
  await tally.save();
  await tally.fetch();
  const found = ['n', 'list', 'and', 'or', 'xor'].map((key) => tally.get(key));
  assert.deepEqual(found, [7, ['a'], 0, 5, 5]);
});

// compat: object.fetch_when_save
test('object: what the server made of it comes with the answer', async () => {
  const kind = unique('Counter');
  const counter = await new AV.Object(kind).save({ n: 1 });
  const same = AV.Object.createWithoutData(kind, counter.id);
  await same.save({ n: 10, note: 'from elsewhere' });
  counter.increment('n', 1);
  counter.fetchWhenSave(true);
  await counter.save();
  assert.equal(counter.get('n'), 11);
  const fresh = new AV.Object(kind);
  fresh.increment('n', 3);
  await fresh.save(null, { fetchWhenSave: true });
  assert.equal(fresh.get('n'), 3);
});

// compat: object.keys object.include
test('object: fetched in part, and with what it points to', async () => {
  const [book, person] = [unique('Book'), unique('Person')];
  const author = await new AV.Object(person).save({ name: 'Lu Xun', born: 1881 });
  const saved = await new AV.Object(book).save({ title: 'Call to Arms', pages: 200, author });
  const whole = AV.Object.createWithoutData(book, saved.id);
  await whole.fetch({ include: 'author' });
  assert.equal(whole.get('author').get('name'), 'Lu Xun');
  const part = AV.Object.createWithoutData(book, saved.id);
  await part.fetch({ keys: 'title' });
  assert.deepEqual([part.get('title'), part.get('pages')], ['Call to Arms', undefined]);
  assert.ok(part.createdAt && part.updatedAt);
});

// compat: object.conditional
test('object: a conditional save decides on the server', async () => {
  const kind = unique('Account');
  const account = await new AV.Object(kind).save({ balance: 100 });
  const pay = (amount) => {
    const payer = AV.Object.createWithoutData(kind, account.id);
    payer.increment('balance', -amount);
    const query = new AV.Query(kind).greaterThanOrEqualTo('balance', amount);
    return payer.save(null, { query, fetchWhenSave: true });
  };
  assert.equal((await pay(70)).get('balance'), 30);
  const refused = await refusal(pay(70));
  assert.equal(refused.code, 305);
  assert.match(refused.message, /No effect on updating\/deleting a document/);
  await account.fetch();
  assert.equal(account.get('balance'), 30);

  // Of many at once only as many succeed as the balance can bear.
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => pay(10)));
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 3);
  await account.fetch();
  assert.equal(account.get('balance'), 0);
});

// compat: type.fixed type.mismatch key.names class.names object.unknown_id
test('object: what is refused, and how', async () => {
  const kind = unique('Typed');
  const typed = await new AV.Object(kind).save({ n: 1, s: 'text' });
  const mismatch = await refusal(typed.save({ n: 'text' }));
  assert.equal(mismatch.code, 111);
  assert.match(mismatch.message, /Invalid value type for field 'n'/);
  const again = AV.Object.createWithoutData(kind, typed.id);
  again.increment('s');
  assert.equal((await refusal(again.save())).code, 111);
  assert.equal((await refusal(new AV.Object(kind).save({ 'a-b': 1 }))).code, 105);
  const absent = AV.Object.createWithoutData(kind, '5d8308029c9235000886c4cf');
  assert.equal((await refusal(absent.save({ n: 2 }))).code, 1);
  assert.equal((await refusal(new AV.Query(unique('Nowhere')).find())).code, 101);
});

// compat: op.dotted
test('object: parts of an embedded object', async () => {
  const kind = unique('Profile');
  const profile = await new AV.Object(kind).save({ address: { city: 'Beijing', visits: 1, tags: [] } });
  const same = AV.Object.createWithoutData(kind, profile.id);
  await AV.request({
    method: 'PUT',
    path: `/classes/${kind}/${profile.id}`,
    data: {
      'address.street': "Chang'an",
      'address.visits': { __op: 'Increment', amount: 2 },
      'address.tags': { __op: 'AddUnique', objects: ['old'] },
      'address.city': { __op: 'Delete' },
    },
  });
  await same.fetch();
  assert.deepEqual(same.get('address'), { visits: 3, tags: ['old'], street: "Chang'an" });
});

// compat: relation.add relation.remove relation.query relation.reverse relation.batch_op
test('relation: objects in it, from both ends', async () => {
  const [person, post] = [unique('Reader'), unique('Post')];
  const posts = await AV.Object.saveAll(['a', 'b', 'c'].map((title) => new AV.Object(post, { title })));
  const reader = new AV.Object(person);
  const likes = reader.relation('likes');
  posts.forEach((each) => likes.add(each));
  await reader.save();

  const titles = async (query) => (await query.ascending('title').find()).map((each) => each.get('title'));
  assert.deepEqual(await titles(likes.query()), ['a', 'b', 'c']);
  assert.equal(await likes.query().count(), 3);
  assert.deepEqual(await titles(likes.query().equalTo('title', 'b')), ['b']);

  // Adding and removing in one save is sent as one operation of two.
  const more = await new AV.Object(post, { title: 'd' }).save();
  likes.remove(posts[0]);
  likes.add(more);
  await reader.save();
  const read = await new AV.Query(person).get(reader.id);
  assert.deepEqual(await titles(read.relation('likes').query()), ['b', 'c', 'd']);

  const reverse = await AV.Relation.reverseQuery(person, 'likes', more).find();
  assert.deepEqual(reverse.map((each) => each.id), [reader.id]);
  assert.equal(await AV.Relation.reverseQuery(person, 'likes', posts[0]).count(), 0);
});

// compat: date
test('the server tells the time', async () => {
  const date = await AV.Cloud.getServerDate();
  assert.ok(Math.abs(date - new Date()) < 60_000, date.toISOString());
});
