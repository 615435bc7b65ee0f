// Parse Server with the settings it comes with, where the load of `paylog bench --storage` expects LeanCloud's API: under
// /1.1, with LeanCloud's headers, and with the class to be measured defined as paylog defines one.
const cluster = require('node:cluster');
const express = require('express');
const { ParseServer } = require('parse-server');

const { PORT, PROCESSES, DATABASE } = process.env;
const [appId, masterKey] = ['bench', 'master'];
const serverURL = `http://127.0.0.1:${PORT}/1.1`;

async function defineClass(className, { columns, indexes }) {
  const named = indexes.map(({ keys }) => [keys.join('_'), Object.fromEntries(keys.map((key) => [key, 1]))]);
  return fetch(`${serverURL}/schemas/${className}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Parse-Application-Id': appId, 'X-Parse-Master-Key': masterKey },
    body: JSON.stringify({ className, fields: columns, indexes: Object.fromEntries(named) }),
  });
}

async function serve() {
  const parse = new ParseServer({
    databaseURI: DATABASE,
    // The processes tell one another of classes.
    databaseOptions: { enableSchemaHooks: true },
    appId,
    masterKey,
    serverURL,
    silent: !process.env.LOUD,
  });
  await parse.start();
  const app = express();
  app.post('/1.1/schemas/:name', express.json(), async (request, response, next) => {
    if (!request.headers['x-lc-id']) return next('route');
    const answer = await defineClass(request.params.name, request.body);
    response.status(answer.status).json(await answer.json());
  });
  app.use('/1.1', (request, _response, next) => {
    request.headers['x-parse-application-id'] ??= request.headers['x-lc-id'];
    next();
  }, parse.app);
  app.listen(Number(PORT), '127.0.0.1');
}

if (cluster.isPrimary) {
  // One after the other: two that make the same tables at once fail. A line says when all listen.
  let listening = 0;
  cluster.on('listening', () => {
    listening += 1;
    if (listening < Number(PROCESSES)) cluster.fork();
    else console.log('listening');
  });
  cluster.fork();
  process.on('SIGTERM', () => process.exit());
} else {
  serve();
}
