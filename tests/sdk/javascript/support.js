'use strict';
// The SDK, started on the server under test as an app would start it.

const AV = require('leancloud-storage');

const { url, appId, appKey, masterKey, hookKey } = JSON.parse(process.env.PAYLOG_SDK_TARGET);
AV.init({ appId, appKey, masterKey, serverURL: url });

const master = { useMasterKey: true };

// Names that no other run on the same data has used.
let made = 0;
const run = Date.now().toString(36);
const unique = (name) => `${name}${run}${++made}`;

// The error that a promise must end with.
async function refusal(promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`this was not refused, but answered ${JSON.stringify(value)}`);
}

async function signUp(name = unique('user')) {
  const user = new AV.User();
  user.setUsername(name);
  user.setPassword(`password of ${name}`);
  await user.signUp();
  return user;
}

// As who the SDK's requests are made: a user, or nobody.
const as = (user) => (user ? { sessionToken: user.getSessionToken() } : { sessionToken: '' });

module.exports = { AV, master, unique, refusal, signUp, as, hookKey, target: { url, appId, appKey, masterKey } };
