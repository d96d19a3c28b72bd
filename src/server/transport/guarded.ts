import type { Logger } from '../../telemetry/log.js';
import type { Reply } from './transport.js';

/** Does what a request asks for; a fault costs its own connection only. */
export function guarded(work: () => void, reply: Reply, log: Logger): void {
  try {
    work();
  } catch (error) {
    log.error({ err: error }, 'a request could not be served');
    reply.close();
  }
}
