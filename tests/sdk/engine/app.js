'use strict';
// An app as teams have it on LeanEngine, written with the official SDK for Node.js. The same as app.py.

const http = require('http');
const AV = require('leanengine');

AV.init({
  appId: process.env.LEANCLOUD_APP_ID,
  appKey: process.env.LEANCLOUD_APP_KEY,
  masterKey: process.env.LEANCLOUD_APP_MASTER_KEY,
  hookKey: process.env.LEANCLOUD_APP_HOOK_KEY,
});

AV.Cloud.define('whoAmI', async (request) => ({
  user: request.currentUser ? request.currentUser.get('username') : null,
  n: request.params.n,
}));

AV.Cloud.define('refuse', async () => {
  throw new AV.Cloud.Error('not today', { status: 418, code: 4711 });
});

AV.Cloud.define('countReviews', async () => new AV.Query('Review').count({ useMasterKey: true }));

AV.Cloud.define('balance', async (request) =>
  AV.Cloud.run('getBalance', {}, { remote: true, user: request.currentUser }));

AV.Cloud.define('inner', { internal: true }, async (request) => request.params.n + 1);

AV.Cloud.define('later', async (request) => {
  const task = await AV.Cloud.enqueue('inner', { n: request.params.n }, { uniqueId: request.params.id });
  return task.uniqueId;
});

AV.Cloud.beforeSave('Review', async (request) => {
  if (request.object.get('stars') > 5) {
    throw new AV.Cloud.Error('at most five stars');
  }
  request.object.set('by', request.currentUser ? request.currentUser.get('username') : 'nobody');
});

AV.Cloud.afterSave('Review', async (request) => {
  const note = new AV.Object('Note');
  note.set('about', request.object.id);
  await note.save(null, { useMasterKey: true });
});

AV.Cloud.beforeUpdate('Review', async (request) => {
  if (request.object.updatedKeys.includes('stars')) {
    throw new AV.Cloud.Error('the stars stay');
  }
});

AV.Cloud.beforeDelete('Review', async () => {
  throw new AV.Cloud.Error('reviews stay');
});

const middleware = AV.express();
const server = http.createServer((request, response) =>
  middleware(request, response, () => {
    response.statusCode = 404;
    response.end();
  }));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
