'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { AV, master, unique, refusal, signUp, as } = require('./support');

// compat: acl.read acl.write acl.empty
test('acl: an object is its owner’s', async () => {
  const kind = unique('Diary');
  const [owner, other] = [await signUp(), await signUp()];
  await AV.User.logOut();
  const page = new AV.Object(kind, { text: 'mine' });
  page.setACL(new AV.ACL(owner));
  await page.save(null, as(owner));
  const found = (who) => new AV.Query(kind).find(who).then((rows) => rows.length);
  assert.deepEqual([await found(as(owner)), await found(as(other)), await found({})], [1, 0, 0]);
  assert.equal(await found(master), 1);
  assert.equal(await new AV.Query(kind).count(as(other)), 0);
  assert.equal((await refusal(new AV.Query(kind).get(page.id, as(other)))).code, 403);
  const copy = AV.Object.createWithoutData(kind, page.id);
  const refused = await refusal(copy.save({ text: 'theirs' }, as(other)));
  assert.equal(refused.code, 403);
  assert.match(refused.message, /Forbidden writing by object's ACL/);
  assert.equal((await refusal(copy.destroy(as(other)))).code, 403);
  await copy.save({ text: 'still mine' }, as(owner));
  await copy.destroy(as(owner));
});

// compat: role.create role.members role.inheritance role.acl_required role.of_user
test('role: members and those of child roles have its rights', async () => {
  const kind = unique('Page');
  const [editor, moderator, guest] = [await signUp(), await signUp(), await signUp()];
  await AV.User.logOut();
  const open = () => {
    const acl = new AV.ACL();
    acl.setPublicReadAccess(true);
    return acl;
  };
  const moderators = new AV.Role(unique('moderators'), open());
  moderators.getUsers().add(moderator);
  await moderators.save(null, master);
  const editors = new AV.Role(unique('editors'), open());
  editors.getUsers().add(editor);
  editors.getRoles().add(moderators);
  await editors.save(null, master);

  const acl = new AV.ACL();
  acl.setRoleReadAccess(editors, true);
  acl.setRoleWriteAccess(editors, true);
  const page = new AV.Object(kind, { n: 1 });
  page.setACL(acl);
  await page.save();
  for (const [who, may] of [[editor, true], [moderator, true], [guest, false], [null, false]]) {
    assert.equal((await new AV.Query(kind).find(as(who))).length, may ? 1 : 0);
    const saved = AV.Object.createWithoutData(kind, page.id).save({ n: 2 }, as(who));
    if (may) await saved;
    else assert.equal((await refusal(saved)).code, 403);
  }
  const roles = await moderator.getRoles();
  assert.deepEqual(roles.map((role) => role.getName()), [moderators.getName()]);
  const users = await editors.getUsers().query().find(master);
  assert.deepEqual(users.map((user) => user.id), [editor.id]);

  // Who leaves the role leaves its rights.
  editors.getUsers().remove(editor);
  await editors.save(null, master);
  assert.equal((await new AV.Query(kind).find(as(editor))).length, 0);

  const bare = { method: 'POST', path: '/roles', data: { name: unique('bare') } };
  const refused = await refusal(AV.request(bare));
  assert.deepEqual([refused.code, refused.rawMessage], [1, 'Role ACL is required.']);
});
