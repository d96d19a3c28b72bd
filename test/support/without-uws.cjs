// Loaded before a process begins (NODE_OPTIONS=--require): no uWebSockets.js is found in it, as where none was installed.
const Module = require('node:module');

const resolve = Module._resolveFilename;
Module._resolveFilename = (name, ...rest) => {
  if (name.startsWith('uWebSockets.js')) throw new Error(`Cannot find module '${name}'`);
  return resolve(name, ...rest);
};
