import { chooseTransport } from '../../src/server/transport/choice.js';
import { needs } from './needs.js';

const hasUws = () => {
  try {
    return chooseTransport('uws').name === 'uws';
  } catch {
    return false;
  }
};

/**
 * Over which transports tests run: those that the environment names (`TRANSPORTS=node`), else all that load in this Node on this
 * C library.
 */
export const TRANSPORTS: readonly string[] =
  process.env.TRANSPORTS?.split(',') ??
  (needs('uWebSockets.js', 'a Node and a C library that it has a binary for', hasUws)
    ? ['uws', 'node']
    : ['node']);
