import { chooseTransport } from '../../src/http/transport/choice.js';
import { needs } from './needs.js';

const hasUws = needs('uWebSockets.js', 'a Node and a C library that it has a binary for', () => {
  try {
    return chooseTransport('uws').name === 'uws';
  } catch {
    return false;
  }
});

/** The transports that this Node can run. */
export const TRANSPORTS: readonly ('uws' | 'node')[] = hasUws ? ['uws', 'node'] : ['node'];
