'use strict';
// An app as its makers built it on LeanCloud, with everything that has to come along when it moves. Prints what there
// is, for live.js and for the test that moves it.

const { AV, master } = require('../javascript/support');

const { password, weixin, file: bytes } = JSON.parse(process.env.PAYLOG_SDK_APP);

async function people() {
  const users = [];
  for (const name of ['anna', 'bert', 'cleo', 'dora']) {
    const user = new AV.User({ nick: name.toUpperCase() });
    user.setUsername(name);
    user.setPassword(password);
    await user.signUp();
    users.push(user);
  }
  await AV.User.logOut();
  const stranger = await AV.User.loginWithAuthData(weixin, 'weixin');
  await AV.User.logOut();
  const acl = new AV.ACL();
  acl.setPublicReadAccess(true);
  const editors = new AV.Role('editors', acl);
  users.slice(0, 2).forEach((user) => editors.getUsers().add(user));
  await editors.save(null, master);
  return { users, stranger, editors };
}

async function things({ users, editors }) {
  const file = new AV.File('picture.png', { base64: Buffer.from(bytes).toString('base64') }, 'image/png');
  await file.save();
  const post = (number, fields) =>
    new AV.Object('Post', {
      title: `post ${number}`,
      number,
      author: users[number % users.length],
      place: new AV.GeoPoint(number, 11.5),
      when: new Date(Date.UTC(2026, 0, 1 + number)),
      tags: ['a', number],
      ...fields,
    });
  await AV.Object.saveAll(Array.from({ length: 30 }, (_, number) => post(number)), master);

  const mine = post(0, { title: 'mine', picture: file, nested: { a: [1, 2.5, { b: null }] } });
  mine.setACL(new AV.ACL(users[0]));
  await mine.save(null, master);

  const ours = post(1, { title: 'ours' });
  const acl = new AV.ACL();
  acl.setRoleReadAccess(editors, true);
  ours.setACL(acl);
  await ours.save(null, master);

  const liked = post(2, { title: 'liked' });
  users.forEach((user) => liked.relation('fans').add(user));
  await liked.save(null, master);
  return { file, mine, ours, liked };
}

(async () => {
  const made = await people();
  const { file, mine, ours, liked } = await things(made);
  const said = {
    users: made.users.map((user) => ({ name: user.getUsername(), id: user.id, token: user.getSessionToken() })),
    stranger: made.stranger.id,
    file: file.id,
    privatePost: mine.id,
    rolesPost: ours.id,
    liked: liked.id,
  };
  process.stdout.write(JSON.stringify(said));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
