import type { Clock } from '../../clock.js';

/** A turn of the event loop that is no longer leaves hardly anybody waiting to be accepted. */
const QUIET_MS = 0.05;
/** So many turns are looked at for a quiet one. */
const TURNS = 1_000;

/**
 * Settled in a turn of the event loop in which little comes, or after many that were not quiet. Linux resets what waits to be
 * accepted at a listener that is closed: it is closed in a moment when all were.
 */
export async function quietTurn(clock: Clock): Promise<void> {
  for (let turn = 0, ms = QUIET_MS; turn < TURNS && ms >= QUIET_MS; turn++) {
    const begun = clock.now();
    await new Promise((resolve) => setImmediate(resolve));
    ms = clock.now() - begun;
  }
}
