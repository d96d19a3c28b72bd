import { NotApplicable } from './check.js';
import type { Examination } from './examination.js';

/** What happened when the caller interrupted. */
export interface Interruption {
  /** From the caller's first word to `clear`; `undefined` if none came. */
  readonly clearAfterMs: number | undefined;
  /** How long the caller heard the agent from the first word on. */
  readonly soundAfterMs: number;
  /** Sound that came after `clear` while the caller spoke. */
  readonly staleMs: number;
  /** The longest round trip of a ping meanwhile: the share of network and machine. */
  readonly delayMs: number;
}

/** How much of an answer is heard before it is interrupted. */
const HEARD_MS = 500;
/** How much of it must be left then. */
const LEFT_MS = 300;
const PING_EVERY_MS = 100;

/** Interrupts the agent. @throws NotApplicable */
export async function interruptionOf(examination: Examination): Promise<Interruption> {
  const { clock } = examination.exchange;
  const { call, from } = await examination.ask();
  const { line } = call;
  const since = line.pieces[from]?.at ?? 0;
  await call.until(() => clock.runningMs() - since >= HEARD_MS || !line.isSpeaking, HEARD_MS);
  const isArriving = () => clock.runningMs() - (line.pieces.at(-1)?.at ?? 0) < LEFT_MS;
  if (line.soundUntil - clock.runningMs() < LEFT_MS && !isArriving()) {
    throw new NotApplicable('The answer was too short to be interrupted');
  }
  const began = clock.runningMs();
  const pings = line.pings.length;
  const pinging = clock.every(PING_EVERY_MS, () => line.ping());
  let isOver = false;
  void call.say(examination.speech.interruption).then(() => {
    isOver = true;
  });
  line.ping();
  await call.until(() => isOver, 5_000);
  clock.cancel(pinging);
  const ended = clock.runningMs();
  const clear = line.commands.find(({ at, command }) => at >= began && command?.type === 'clear');
  const after =
    clear === undefined ? [] : line.pieces.slice(clear.piecesBefore).filter(({ hasSound }) => hasSound);
  const stale = after.filter(({ at }) => at < ended);
  const trips = line.pings.slice(pings).map(({ at, answeredAt = ended }) => answeredAt - at);
  return {
    clearAfterMs: clear === undefined ? undefined : clear.at - began,
    soundAfterMs: (clear === undefined ? Math.min(line.soundUntil, ended) : clear.at) - began,
    staleMs: (stale.reduce((sum, { pcm }) => sum + pcm.length, 0) * 1_000) / line.rate,
    delayMs: Math.max(0, ...trips),
  };
}
