'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { AV, master, unique, refusal, signUp, as } = require('./support');

// compat: user.sign_up user.log_in session.stable user.me user.wrong_password
test('user: signs up, logs in, comes back by the token', async () => {
  const name = unique('ming');
  const user = new AV.User({ nickname: 'Ming' });
  user.setUsername(name);
  user.setPassword('correct horse');
  user.setEmail(`${name}@example.com`);
  await user.signUp();
  assert.ok(user.id && user.createdAt);
  const token = user.getSessionToken();
  assert.match(token, /^[0-9a-z]{25}$/);
  assert.deepEqual([user.get('emailVerified'), user.get('mobilePhoneVerified')], [false, false]);
  assert.equal(AV.User.current().id, user.id);
  await AV.User.logOut();

  const back = await AV.User.logIn(name, 'correct horse');
  assert.deepEqual([back.id, back.getSessionToken(), back.get('nickname')], [user.id, token, 'Ming']);
  assert.equal(await back.isAuthenticated(), true);
  assert.equal((await AV.User.loginWithEmail(`${name}@example.com`, 'correct horse')).id, user.id);
  assert.equal((await AV.User.become(token)).id, user.id);
  await AV.User.logOut();
  assert.equal((await refusal(AV.User.logIn(name, 'wrong'))).code, 210);
  assert.equal((await refusal(AV.User.logIn(unique('nobody'), 'x'))).code, 211);
  assert.equal((await refusal(AV.User.become('0123456789abcdefghijklmno'))).code, 211);
  assert.equal((await refusal(signUp(name))).code, 202);
});

// compat: user.update user.update_password user.refresh_token user.owner_rules user.secrets
test('user: changed by themselves alone', async () => {
  const [user, other] = [await signUp(), await signUp()];
  await user.save({ nickname: 'M' }, as(user));
  const read = await AV.Object.createWithoutData('_User', user.id).fetch({}, as(other));
  assert.equal(read.get('nickname'), 'M');
  assert.deepEqual([read.get('password'), read.get('sessionToken')], [undefined, undefined]);
  const stranger = AV.Object.createWithoutData('_User', user.id);
  assert.equal((await refusal(stranger.save({ nickname: 'theirs' }, as(other)))).code, 206);
  assert.equal((await refusal(new AV.Query('_User').find(as(user)))).code, 403);
  assert.equal((await new AV.Query('_User').equalTo('objectId', user.id).find(master)).length, 1);

  const before = user.getSessionToken();
  await user.updatePassword(`password of ${user.getUsername()}`, 'a new one', as(user));
  const after = user.getSessionToken();
  assert.notEqual(after, before);
  assert.equal((await refusal(AV.User.become(before))).code, 211);
  assert.equal((await AV.User.logIn(user.getUsername(), 'a new one')).getSessionToken(), after);
  await user.refreshSessionToken(as(user));
  assert.notEqual(user.getSessionToken(), after);
  assert.equal(await user.isAuthenticated(), true);
  await AV.User.logOut();
});

// compat: auth_data.log_in auth_data.link auth_data.unlink
test('user: known by a platform', async () => {
  const uid = unique('uid');
  const data = { uid, access_token: 'token' };
  const user = await AV.User.loginWithAuthData(data, 'somewhere');
  const again = await AV.User.loginWithAuthData(data, 'somewhere');
  assert.deepEqual([again.id, again.getSessionToken()], [user.id, user.getSessionToken()]);
  await again.associateWithAuthData({ uid: unique('uid'), access_token: 'token' }, 'elsewhere');
  assert.deepEqual(Object.keys(again.get('authData')).sort(), ['elsewhere', 'somewhere']);
  await again.dissociateAuthData('somewhere');
  await again.fetch({}, as(again));
  assert.deepEqual(Object.keys(again.get('authData')), ['elsewhere']);
  const nobody = AV.User.loginWithAuthData({ uid: unique('uid') }, 'somewhere', { failOnNotExist: true });
  assert.equal((await refusal(nobody)).code, 211);
  await AV.User.logOut();
});

// compat: auth_data.anonymous
test('user: anonymous, then somebody', async () => {
  const user = await AV.User.loginAnonymously();
  assert.equal(user.isAnonymous(), true);
  const name = unique('named');
  await user.save({ username: name, password: 'secret' });
  await user.fetch();
  assert.equal(user.isAnonymous(), false);
  assert.equal((await AV.User.logIn(name, 'secret')).id, user.id);
  await AV.User.logOut();
});
