'use strict';
// The app of build.js at its new home: its clients have been given the new address, and nothing else.

const test = require('node:test');
const assert = require('node:assert/strict');
const { AV, master, refusal, as } = require('../javascript/support');

const { password, weixin, file: bytes, built } = JSON.parse(process.env.PAYLOG_SDK_APP);

test('everybody logs in as before', async () => {
  for (const { name, id, token } of built.users) {
    // An app that is installed already has the session token, and nothing else.
    assert.equal((await AV.User.become(token)).id, id);
    const user = await AV.User.logIn(name, password);
    assert.deepEqual([user.id, user.get('nick')], [id, name.toUpperCase()]);
    assert.equal((await refusal(AV.User.logIn(name, 'wrong'))).code, 210);
  }
  assert.equal((await AV.User.loginWithAuthData(weixin, 'weixin')).id, built.stranger);
  await AV.User.logOut();
});

test('ACLs and roles let in whom they let in before', async () => {
  const [anna, bert, cleo] = built.users.map(({ token }) => ({ sessionToken: token }));
  const may = (id, who) => new AV.Query('Post').equalTo('objectId', id).find(who).then((rows) => rows.length === 1);
  const seen = async (id) => Promise.all([anna, bert, cleo, as(null)].map((who) => may(id, who)));
  assert.deepEqual(await seen(built.privatePost), [true, false, false, false]);
  assert.deepEqual(await seen(built.rolesPost), [true, true, false, false]);
});

test('pointers, relations, places, dates and files lead where they led', async () => {
  const fans = await AV.Object.createWithoutData('Post', built.liked).relation('fans').query().find(master);
  assert.deepEqual(fans.map((user) => user.id).sort(), built.users.map(({ id }) => id).sort());
  // Others have written posts meanwhile, some at the same place.
  const near = await new AV.Query('Post')
    .startsWith('title', 'post ')
    .near('place', new AV.GeoPoint(7, 11.5))
    .include('author')
    .first();
  assert.equal(near.get('title'), 'post 7');
  assert.deepEqual(
    [near.get('author').get('nick'), near.get('when').getTime()],
    ['DORA', Date.UTC(2026, 0, 8)],
  );
  const mine = await new AV.Query('Post').include('picture').get(built.privatePost, master);
  assert.deepEqual(mine.get('nested'), { a: [1, 2.5, { b: null }] });
  const picture = mine.get('picture');
  assert.equal(picture.id, built.file);
  assert.equal(await (await fetch(picture.url())).text(), bytes);
});
