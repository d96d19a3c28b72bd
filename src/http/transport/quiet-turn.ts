import type { Clock } from '../../clock.js';

/** After a turn of the event loop that took no longer than this, hardly anybody waits to be accepted. */
const QUIET_MS = 0.05;
/** How many turns it waits for a quiet one. */
const TURNS = 1_000;

/**
 * Resolves after a turn of the event loop in which little happened, or after many busy ones. When a listener is closed, Linux
 * resets the connections that still wait to be accepted by it: it should be closed at a moment when none do.
 */
export async function quietTurn(clock: Clock): Promise<void> {
  for (let turn = 0, ms = QUIET_MS; turn < TURNS && ms >= QUIET_MS; turn++) {
    const begun = clock.now();
    await new Promise((resolve) => setImmediate(resolve));
    ms = clock.now() - begun;
  }
}
