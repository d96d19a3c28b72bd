// Preloaded (NODE_OPTIONS=--require): hides uWebSockets.js, as if it were not installed.
const Module = require('node:module');

const resolve = Module._resolveFilename;
Module._resolveFilename = (name, ...rest) => {
  if (name.startsWith('uWebSockets.js')) throw new Error(`Cannot find module '${name}'`);
  return resolve(name, ...rest);
};
