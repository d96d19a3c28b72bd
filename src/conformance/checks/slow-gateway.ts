import { type Check, failed, NotApplicable, passed } from '../check.js';
import type { Examination } from '../examination.js';
import type { SimulatedCall } from '../simulated-call.js';

/** How long the gateway reads nothing. */
const PAUSE_MS = 1_500;
const RECOVERY_MS = 2_000;
/** How long the agent may take to say something without being asked again. */
const ANYWAY_MS = 1_500;

export const slowGateway: Check = {
  name: 'slow-gateway',
  wants: `Keeps the connection while nothing is read for ${PAUSE_MS / 1_000} s in the middle of an answer.`,
  async run(examination) {
    const call = await speaking(examination);
    const { line } = call;
    if (!line.pings.some(({ answeredAt }) => answeredAt !== undefined)) {
      throw new NotApplicable('It answers no pings');
    }
    line.pause(true);
    await call.until(() => false, PAUSE_MS);
    line.pause(false);
    line.ping();
    const ping = line.pings.at(-1);
    const isAlive = await call.until(() => ping?.answeredAt !== undefined, RECOVERY_MS);
    if (isAlive) return passed(`It kept the connection while nothing was read for ${PAUSE_MS} ms`);
    const { ended } = line;
    return failed(
      ended === undefined
        ? `It answered no ping for ${RECOVERY_MS} ms after the gateway had read nothing for ${PAUSE_MS} ms`
        : `It closed the connection with ${ended.code} when nothing was read for ${PAUSE_MS} ms`,
      'Let audio wait while the socket is not writable, and drop the oldest.',
    );
  },
};

/** A call in which the agent speaks: it may still be answering what the caller said last. */
async function speaking(examination: Examination): Promise<SimulatedCall> {
  const call = await examination.call();
  if (await call.until(() => call.line.isSpeaking, ANYWAY_MS)) return call;
  return (await examination.ask()).call;
}
