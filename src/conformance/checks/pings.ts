import { type Check, failed, NotApplicable, passed } from '../check.js';

/** Without an answer for so long a gateway takes a connection for lost. */
const LOST_MS = 2_000;

export const pings: Check = {
  name: 'pings',
  wants: `Answers pings within ${LOST_MS / 1_000} s.`,
  needsAnswer: true,
  run({ lines, exchange }) {
    const now = exchange.clock.runningMs();
    let [longest, count] = [0, 0];
    for (const { pings: sent, ended, isPaused } of lines) {
      for (const { at, answeredAt } of sent) {
        // Of a connection that ended meanwhile nothing is known.
        if (answeredAt === undefined && (ended?.at ?? now) - at < LOST_MS) continue;
        const ms = (answeredAt ?? Number.POSITIVE_INFINITY) - at;
        if (ms > LOST_MS && !isPaused) {
          return failed(
            answeredAt === undefined ? 'It answered no ping' : `It answered a ping after ${ms.toFixed(0)} ms`,
            'Answer pings with pongs, as RFC 6455 says, and do not block the thread that reads.',
          );
        }
        longest = Math.max(longest, ms);
        count += 1;
      }
    }
    if (count === 0) throw new NotApplicable('No connection lasted long enough');
    return passed(`It answered ${count} pings within ${longest.toFixed(0)} ms`);
  },
};
