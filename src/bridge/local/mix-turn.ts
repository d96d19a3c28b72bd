import type { FrameRing } from '../../media/frame-ring.js';
import { type IngressTime, NO_INGRESS_TIME } from '../../telemetry/ingress-time.js';

/** A member this many frames ahead of another no longer waits for it. */
export const PATIENCE_FRAMES = 2;

/** One whose frames are mixed with those of others. */
export interface Turn {
  readonly queue: FrameRing;
  /** Whether the others wait for its frames before they are mixed. */
  talks: boolean;
  readonly isLive: boolean;
}

/** Whether every talking one has a frame, or somebody has waited longer than `patience` frames, and waits no more. */
export function isMixDue(turns: readonly Turn[], patience: number): boolean {
  let longest = 0;
  let missing = false;
  for (const turn of turns) {
    if (turn.queue.length > longest) longest = turn.queue.length;
    if (turn.talks && turn.isLive && turn.queue.length === 0) missing = true;
  }
  if (longest === 0) return false;
  if (!missing) return true;
  if (longest <= patience) return false;
  for (const turn of turns) if (turn.queue.length === 0) turn.talks = false;
  return true;
}

/**
 * Moves everybody's oldest frame into the memory of a mix.
 * @param active set to 1 for each that had a frame, else 0
 * @returns when the oldest of them reached the gateway: the mix is as old as the frame in it that waited longest
 */
export function takeTurns(
  turns: readonly Turn[],
  inputs: readonly Int16Array[],
  active: Uint8Array,
): IngressTime {
  let stamp = NO_INGRESS_TIME;
  for (let i = 0; i < turns.length; i++) {
    const { queue } = turns[i] as Turn;
    const frame = queue.oldest;
    active[i] = frame === undefined ? 0 : 1;
    if (frame === undefined) continue;
    (inputs[i] as Int16Array).set(frame);
    const arrived = queue.oldestStamp;
    // Stamps wrap, hence the subtraction.
    if (stamp === NO_INGRESS_TIME || (arrived !== NO_INGRESS_TIME && ((arrived - stamp) | 0) < 0))
      stamp = arrived;
    queue.drop();
  }
  return stamp;
}
