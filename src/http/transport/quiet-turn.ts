import type { Clock } from '../../clock.js';

/** After a turn of the event loop this short, hardly any connection waits to be accepted. */
const QUIET_MS = 0.05;
/** Most turns to wait for a quiet one. */
const TURNS = 1_000;

/**
 * Resolves after a quiet turn of the event loop, or after many busy ones. When a listener is closed, Linux resets the
 * connections that still wait to be accepted, so close it when there are none.
 */
export async function quietTurn(clock: Clock): Promise<void> {
  for (let turn = 0, ms = QUIET_MS; turn < TURNS && ms >= QUIET_MS; turn++) {
    const begun = clock.now();
    await new Promise((resolve) => setImmediate(resolve));
    ms = clock.now() - begun;
  }
}
