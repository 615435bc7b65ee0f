'use strict';
// All cases in one process: loading the SDK takes longer than most of them.

for (const area of ['object', 'query', 'user', 'role', 'batch', 'file', 'cloud']) {
  require(`./${area}.js`);
}
