import type { Logger } from '../../telemetry/log.js';
import type { Reply } from './transport.js';

/** Does what a request asks for. A fault is logged, and costs no connection but its own. */
export function guarded(work: () => void, reply: Reply, log: Logger): void {
  try {
    work();
  } catch (error) {
    log.error({ err: error }, 'a request could not be served');
    reply.close();
  }
}
