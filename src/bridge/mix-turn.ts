import { FRAME_SAMPLES } from '../media/frame.js';
import type { FrameRing } from '../media/frame-ring.js';
import { type IngressTime, NO_INGRESS_TIME } from '../telemetry/ingress-time.js';

/** A participant whose frames are mixed with those of others. */
export interface Turn {
  readonly queue: FrameRing;
  /** Whether the others wait for its frames before they are mixed. */
  talks: boolean;
  readonly isLive: boolean;
}

/**
 * Whether every live turn that talks has a frame. One that lags more than `patience` frames behind another is left out, and
 * `talks` no more.
 */
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

/** What the core's mixers take: one frame of each turn, one after the other. Its memory is made once for a number of turns. */
export class MixInputs {
  readonly samples: Int16Array;
  /** A view of each turn's part of {@link samples}. */
  readonly frames: readonly Int16Array[];
  /** 1 for each turn that had a frame, else 0. */
  readonly active: Uint8Array;

  /** @param frameSamples samples of a frame */
  constructor(count: number, frameSamples = FRAME_SAMPLES) {
    this.samples = new Int16Array(count * frameSamples);
    this.frames = Array.from({ length: count }, (_, i) =>
      this.samples.subarray(i * frameSamples, (i + 1) * frameSamples),
    );
    this.active = new Uint8Array(count);
  }

  /**
   * Takes the oldest frame of each of these turns, of which there are as many as this was made for.
   * @returns when the oldest of the frames reached the gateway: a mix is as old as the frame in it that waited longest
   */
  take(turns: readonly Turn[]): IngressTime {
    let stamp = NO_INGRESS_TIME;
    for (let i = 0; i < turns.length; i++) {
      const { queue } = turns[i] as Turn;
      const frame = queue.oldest;
      this.active[i] = frame === undefined ? 0 : 1;
      if (frame === undefined) continue;
      (this.frames[i] as Int16Array).set(frame);
      const arrived = queue.oldestStamp;
      // Stamps wrap, hence the subtraction.
      if (stamp === NO_INGRESS_TIME || (arrived !== NO_INGRESS_TIME && ((arrived - stamp) | 0) < 0))
        stamp = arrived;
      queue.drop();
    }
    return stamp;
  }
}

/** For no turns at all. */
export const NO_INPUTS = new MixInputs(0);
