'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { AV, unique, refusal, signUp, as, hookKey, target } = require('./support');

// compat: cloud.run cloud.error cloud.user
test('cloud: a function is run', async () => {
  await AV.User.logOut();
  const answer = await AV.Cloud.run('greet', { name: 'Ming', at: new Date('2026-01-01T00:00:00Z') });
  assert.deepEqual(answer, { text: 'Hello, Ming!', by: null });
  const user = await signUp();
  assert.equal((await AV.Cloud.run('greet', { name: 'M' }, as(user))).by, user.id);
  await AV.User.logOut();
  const refused = await refusal(AV.Cloud.run('refuse'));
  assert.deepEqual([refused.code, refused.rawMessage ?? refused.message], [4711, 'Not today.']);
  const absent = await refusal(AV.Cloud.run('absent'));
  assert.equal(absent.code, 1);
});

// compat: cloud.rpc
test('cloud: objects travel to a function and back', async () => {
  const kind = unique('Parcel');
  const parcel = await new AV.Object(kind).save({ n: 1, at: new Date(0) });
  const { object, list } = await AV.Cloud.rpc('echo', { object: parcel, list: [parcel, 1] });
  assert.ok(object instanceof AV.Object);
  assert.deepEqual([object.id, object.className, object.get('n')], [parcel.id, kind, 1]);
  assert.equal(list[0].id, parcel.id);
});

// compat: hook.before_save hook.before_update hook.before_delete hook.after hook.error
test('hook: runs around the writes of a class', async () => {
  const review = new AV.Object('Review', { stars: 4, text: 'x'.repeat(200) });
  await review.save();
  await review.fetch();
  assert.equal(review.get('text').length, 100, 'beforeSave has cut it');
  const bad = await refusal(new AV.Object('Review', { stars: 6, text: '' }).save());
  assert.equal(bad.code, 142);
  assert.match(bad.message, /Cloud Code validation failed\. Error detail : at most five stars/);
  assert.equal((await refusal(review.save({ stars: 9 }))).code, 142);
  await review.save({ stars: 3 });
  review.set('stars', 1);
  const copy = AV.Object.createWithoutData('Review', review.id);
  assert.match((await refusal(copy.destroy())).message, /reviews stay/);
  const saved = await AV.Object.saveAll([new AV.Object('Review', { stars: 1, text: '' })]);
  assert.ok(saved[0].id);
  const inBatch = await refusal(AV.Object.saveAll([new AV.Object('Review', { stars: 7, text: '' })]));
  assert.equal(inBatch.code, 142);
});

// compat: hook.ignore
test('hook: left out by who has the hook key', async () => {
  const long = 'x'.repeat(200);
  const ignored = (attributes) => {
    const review = new AV.Object('Review', attributes);
    review.disableBeforeHook();
    return review;
  };
  // Without the key the wish counts for nothing, and is not stored.
  const data = { stars: 1, text: long, __ignore_hooks: ['beforeSave'] };
  const { objectId } = await AV.request({ method: 'POST', path: '/classes/Review', data });
  const without = await AV.Object.createWithoutData('Review', objectId).fetch();
  assert.deepEqual([without.get('text').length, without.get('__ignore_hooks')], [100, undefined]);

  AV.init({ ...target, serverURL: target.url, hookKey });
  const review = ignored({ stars: 9, text: long });
  await review.save();
  await review.fetch();
  assert.deepEqual([review.get('text').length, review.get('__ignore_hooks')], [200, undefined]);
  await review.destroy();
  AV.init({ ...target, serverURL: target.url });
});
