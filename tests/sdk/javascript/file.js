'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { AV, master, unique } = require('./support');

// compat: file.upload file.read file.download file.delete
test('file: uploaded, read, attached, deleted', async () => {
  const text = 'a few words, 中文';
  const file = new AV.File('notes.txt', { base64: Buffer.from(text).toString('base64') });
  file.metaData('topic', 'test');
  await file.save();
  assert.ok(file.id);
  const served = await fetch(file.url());
  assert.deepEqual([served.status, await served.text()], [200, text]);

  const kind = unique('Mail');
  const mail = await new AV.Object(kind).save({ subject: 's', attachment: file });
  const read = await new AV.Query(kind).get(mail.id);
  const attached = read.get('attachment');
  assert.ok(attached instanceof AV.File);
  assert.deepEqual([attached.id, attached.name(), attached.url()], [file.id, 'notes.txt', file.url()]);
  const found = await new AV.Query('_File').equalTo('objectId', file.id).first(master);
  assert.equal(found.get('name'), 'notes.txt');
  await file.destroy(master);
});

// compat: file.stream
test('file: from a stream', async () => {
  const file = new AV.File('file.js', fs.createReadStream(__filename), 'text/plain');
  await file.save();
  const served = await fetch(file.url());
  assert.deepEqual(
    [served.status, served.headers.get('content-type'), await served.text()],
    [200, 'text/plain', fs.readFileSync(__filename, 'utf8')],
  );
});

// compat: file.external
test('file: one that lies elsewhere', async () => {
  const file = AV.File.withURL('logo.png', 'http://example.com/logo.png');
  await file.save();
  const read = await AV.File.createWithoutData(file.id).fetch();
  assert.deepEqual([read.name(), read.url()], ['logo.png', 'http://example.com/logo.png']);
});
