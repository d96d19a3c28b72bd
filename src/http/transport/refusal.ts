import type { Logger } from '../../telemetry/log.js';
import type { Head, Reply } from './transport.js';

/**
 * Rejects a request before any route. It waits for a turn, in which a client that has sent more after this request is dropped:
 * those bytes may be a request hidden from a proxy, and must not be served.
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

/** Runs a handler. An error is logged and closes only its own connection. */
export function guarded(work: () => void, reply: Reply, log: Logger): void {
  try {
    work();
  } catch (error) {
    log.error({ err: error }, 'a request could not be served');
    reply.close();
  }
}
