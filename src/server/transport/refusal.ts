import type { Head, Reply } from './transport.js';

/**
 * Refuses a request that is not even handed out: a turn later, by when whoever sent more behind it is gone. What stands there
 * may have been hidden from a proxy, and is not to be served.
 */
export function refuse(reply: Reply, head: Head): void {
  let isGone = false;
  reply.onGone(() => {
    isGone = true;
  });
  setImmediate(() => {
    if (!isGone) reply.answer(head, NOTHING, true, () => {});
  });
}

const NOTHING = new Uint8Array(0);
