import type { Logger } from '../../telemetry/log.js';
import type { Head, Reply } from './transport.js';

/**
 * Refuses a request that no route gets to see. It waits for a turn: a client that has sent more behind this request is cut by
 * then. What stands there may have been hidden from a proxy, and must not be served.
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

/** Does what a request asks for. A fault is logged, and costs no connection but its own. */
export function guarded(work: () => void, reply: Reply, log: Logger): void {
  try {
    work();
  } catch (error) {
    log.error({ err: error }, 'a request could not be served');
    reply.close();
  }
}
