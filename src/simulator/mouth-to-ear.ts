import { GatewayError } from '../errors.js';
import type { AudioSource } from './audio.js';
import { median } from './histogram.js';
import type { SimulatedPhone } from './phone.js';
import { InstantReader, SWEEP_MS } from './sweep.js';
import type { Utterance } from './voice.js';
import { PHONE_RATE } from './wav.js';

/** Milliseconds between readings. */
const STEP_MS = 5;
/** Unreadable sound at a seam counts as part of its neighbour. */
const NEXT_TO_MS = 20;
/** Sound is heard this much before it is said at most, by the grain of clocks. */
const EARLY_MS = 200;
/** A reading counts if this many of twice as many around it, including itself, agree on the delay within a tolerance. */
const WITNESSES = 4;
const AGREED_MS = 8;
/** Root mean square of a step that is a sound: -45 dBFS. */
const SOUND = 32_768 * 10 ** (-45 / 20);

/** A moment of sound. All times are monotonic milliseconds of one clock. */
export interface HeardMoment {
  readonly heardAt: number;
  readonly saidAt: number;
  readonly delayMs: number;
}

/** What was said and what was heard of it. */
export interface MouthToEarOptions {
  /** What was said: a sweep, see {@link AudioSource.sweep}, from `at` on, in a loop. */
  readonly utterance: Utterance;
  /** What was heard, mono. */
  readonly heard: Int16Array;
  /** When it was heard: of its begin, in monotonic milliseconds, or a function of the milliseconds since its begin. */
  readonly heardAt: number | ((ms: number) => number);
  /** Samples a second of it: 8,000, which is the default, or a multiple. */
  readonly rate?: number;
}

/** The way from a mouth to an ear over time: how long it took, and what got lost on it. */
export class MouthToEar {
  /** Every 5 ms of sound that was heard and could be read, in order of hearing. */
  readonly moments: readonly HeardMoment[];
  /** Milliseconds of sound that is not the source's, or not identifiable: noise, a mixture, a seam. */
  readonly unknownMs: number;
  private readonly utterance: Utterance;
  /** Whether each 5 ms since the utterance began were heard. */
  private readonly wasHeard = new Set<number>();

  /** @throws GatewayError `GW_SIM_OPTIONS` where what was said is no sweep */
  constructor({ utterance, heard, heardAt, rate = PHONE_RATE }: MouthToEarOptions) {
    if (!utterance.audio.isSweep) {
      throw new GatewayError('GW_SIM_OPTIONS', `Expected a sweep but received ${utterance.audio.name}`);
    }
    this.utterance = utterance;
    const timeOf = typeof heardAt === 'function' ? heardAt : (ms: number) => heardAt + ms;
    const instants = new InstantReader().read(heard, STEP_MS, rate);
    const read: (HeardMoment | undefined)[] = instants.map((instant, i) => {
      if (typeof instant !== 'number') return undefined;
      const at = timeOf((i + 0.5) * STEP_MS);
      const since = at - utterance.at - instant;
      const delayMs = ((((since + EARLY_MS) % SWEEP_MS) + SWEEP_MS) % SWEEP_MS) - EARLY_MS;
      const saidAt = at - delayMs;
      return saidAt < utterance.at - EARLY_MS ? undefined : { heardAt: at, saidAt, delayMs };
    });
    this.moments = confirmed(read.filter((moment) => moment !== undefined));
    this.unknownMs = STEP_MS * instants.filter((instant) => instant === 'unknown').length;
    for (const [i, instant] of instants.entries()) {
      if (instant === 'silence') continue;
      const from = nearest(read, i);
      if (from === undefined) continue;
      const { saidAt } = read[from] as HeardMoment;
      const step = (saidAt - utterance.at) / STEP_MS + i - from;
      // Said and heard have their steps at different moments: most of one is enough.
      this.wasHeard.add(Math.floor(step - 0.4)).add(Math.floor(step + 0.4));
    }
  }

  /**
   * From one phone to another in a room, or back to its own ear from an echo: all that the listener heard of what the speaker
   * said last. Both must be on one clock, the listener must record, and the speaker must say a sweep over one stream.
   * @throws GatewayError `GW_SIM_OPTIONS` where the speaker said none
   */
  static between(speaker: SimulatedPhone, listener: SimulatedPhone = speaker): MouthToEar {
    const utterance = speaker.utterances.findLast(({ audio }) => audio.isSweep);
    if (utterance === undefined) {
      throw new GatewayError(
        'GW_SIM_OPTIONS',
        `Expected a sweep from call ${speaker.callSid} but received none`,
      );
    }
    const heardAt = listener.streams[0]?.times.startedAt ?? 0;
    return new MouthToEar({ utterance, heard: listener.heard(), heardAt });
  }

  /**
   * The median delay of what was heard in a span of time; `undefined` if nothing was.
   * @param from start of the span in monotonic milliseconds
   * @param to end of the span in monotonic milliseconds; none by default
   */
  delayMs(from: number, to = Number.POSITIVE_INFINITY): number | undefined {
    return median(this.heardIn(from, to).map(({ delayMs }) => delayMs));
  }

  /**
   * The longest delay of what was heard in a span of time; `undefined` if nothing was.
   * @param from start of the span in monotonic milliseconds
   * @param to end of the span in monotonic milliseconds; none by default
   */
  longestMs(from: number, to = Number.POSITIVE_INFINITY): number | undefined {
    const delays = this.heardIn(from, to).map(({ delayMs }) => delayMs);
    return delays.length === 0 ? undefined : Math.max(...delays);
  }

  /**
   * Since when, at or after `from`, no sound is heard later than `delayMs` after it was said, until `to`.
   * @param from in monotonic milliseconds
   * @param to in monotonic milliseconds
   * @returns monotonic milliseconds; `undefined` where the last sounds still are later, or there are none
   */
  backAt(delayMs: number, from: number, to = Number.POSITIVE_INFINITY): number | undefined {
    const heard = this.heardIn(from, to);
    const last = heard.findLastIndex((moment) => moment.delayMs > delayMs);
    return heard[last + 1]?.heardAt;
  }

  /**
   * Milliseconds of sound that was said in a span of time and never heard. What is still on its way counts.
   * @param seamMs pieces up to so long between two that were heard do not count: speech that is shortened leaves some out
   */
  lostMs(from: number, to: number, seamMs = 0): number {
    const { audio, at, until = to } = this.utterance;
    const steps = audio.pcm.length / stepSamples;
    const end = Math.floor((Math.min(to, until) - at) / STEP_MS);
    let lost = 0;
    let run = 0;
    for (let step = Math.max(0, Math.ceil((from - at) / STEP_MS)); step < end; step++) {
      if (!this.wasHeard.has(step) && isSound(audio.pcm, step % steps)) {
        run += STEP_MS;
        continue;
      }
      const isSeam = run <= seamMs && this.wasHeard.has(step);
      if (!isSeam) lost += run;
      run = 0;
    }
    return lost + run;
  }

  private heardIn(from: number, to: number): HeardMoment[] {
    return this.moments.filter(({ heardAt }) => heardAt >= from && heardAt < to);
  }
}

const stepSamples = (STEP_MS * PHONE_RATE) / 1000;

function isSound(pcm: Int16Array, step: number): boolean {
  let energy = 0;
  for (let n = step * stepSamples; n < (step + 1) * stepSamples; n++) energy += (pcm[n] as number) ** 2;
  return energy > SOUND ** 2 * stepSamples;
}

/** The step next to this one that was read. */
function nearest(read: readonly (HeardMoment | undefined)[], step: number): number | undefined {
  for (let away = 0; away <= NEXT_TO_MS / STEP_MS; away++) {
    if (read[step - away] !== undefined) return step - away;
    if (read[step + away] !== undefined) return step + away;
  }
  return undefined;
}

/** Those readings that others around them confirm. */
function confirmed(moments: readonly HeardMoment[]): HeardMoment[] {
  return moments.filter((moment, i) => {
    const around = moments.slice(Math.max(0, i - WITNESSES), i + WITNESSES + 1);
    const agree = around.filter(
      ({ heardAt, delayMs }) =>
        Math.abs(heardAt - moment.heardAt) <= WITNESSES * STEP_MS &&
        Math.abs(delayMs - moment.delayMs) < AGREED_MS,
    );
    return agree.length >= WITNESSES;
  });
}
