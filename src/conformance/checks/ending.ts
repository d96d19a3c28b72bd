import { type Check, failed, passed } from '../check.js';

const CLOSED_MS = 3_000;

export const ending: Check = {
  name: 'ending',
  wants: `Closes its side within ${CLOSED_MS / 1_000} s when the gateway closes with 1000.`,
  async run(examination) {
    const call = await examination.call();
    if (await call.end(CLOSED_MS)) return passed('It closed its side when the call had ended');
    return failed(
      `It did not close its side within ${CLOSED_MS / 1_000} s`,
      'Keep on reading until the connection is closed, and answer the closing handshake.',
    );
  },
};
