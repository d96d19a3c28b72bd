import { join } from 'node:path';
import type { Clock, Timer } from '../clock.js';
import { expected } from '../errors.js';
import { AudioSource } from './audio.js';
import { SimulatedTwilio } from './carrier.js';
import { type DelayReport, type DelayTrack, delayReport } from './delay-track.js';
import type { DialMapping } from './dial.js';
import { CpuShare, GeneratorMeter, type GeneratorReport } from './generator-meter.js';
import { type HandoverReport, HandoverTotals } from './handover.js';
import { Histogram, type Percentiles } from './histogram.js';
import type { LineProfile } from './line.js';
import { type LoadStep, MOST_CALLS, secondsOf } from './load-steps.js';
import { type MergedReport, StreamTotals } from './measurement.js';
import type { SimulatedPhone } from './phone.js';
import type { Script } from './script.js';
import { ScriptedCaller } from './scripted-caller.js';

/** Milliseconds compared to prove the echo. */
const PROOF_MS = 6000;
/** Longest recording of a call, in milliseconds: 14 MB. */
const RECORD_MS = 1_800_000;
/** Calls are hung up this many at a time, so that the end is not one burst. */
const HANG_UPS_AT_ONCE = 20;
/** Interval of `onProgress`. */
const PROGRESS_MS = 250;
/** A run is sampled every second, but at most this often. */
const MOST_SAMPLES = 400;
const SAMPLE_MS = 1000;
const SHORTEST_SAMPLE_MS = 250;

/** What {@link runLoad} does. Rates are calls per second. */
export interface LoadOptions {
  readonly webhookUrl: string;
  readonly authToken: string;
  readonly accountSid?: string;
  readonly dial?: DialMapping;
  /** Concurrent calls, 1 to 10,000. Needed unless there are `steps`. */
  readonly calls?: number;
  /** Calls placed a second, more than 0; default 50. */
  readonly rate?: number;
  /** How long all calls are held after the last was placed, in milliseconds; measured time begins then. Default 10,000. */
  readonly durationMs?: number;
  /** Calls hung up and replaced per second meanwhile, at least 0; default 0. */
  readonly churn?: number;
  /** Replaces the four options above. Measured time begins after the first ramps. */
  readonly steps?: readonly LoadStep[];
  /** What every caller says; default the speech recording, silence with a script. */
  readonly audio?: AudioSource;
  /** What every caller does, once; holds end early when all are done. */
  readonly script?: Script;
  /** Whether the server echoes what it hears; default true, never with a script. */
  readonly echoes?: boolean;
  readonly profile?: LineProfile;
  readonly from?: string;
  readonly to?: string;
  /** Calls that record, to prove the echo, 0…calls; default at most 4, none with a script. */
  readonly proofCalls?: number;
  /** Write what each recording call hears, whole calls, as `<CallSid>.wav` in this directory. */
  readonly recordDirectory?: string;
  /** Called for a recording that could not be written; without it, the run fails. */
  readonly onUnsaved?: (error: Error) => void;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Ends the run early; the report covers the time until then. */
  readonly signal?: AbortSignal;
  /** The time of its phones; the generator's own cost is measured in real time. Default {@link systemClock}. */
  readonly clock?: Clock;
}

/** How far a run is. */
export interface LoadProgress {
  readonly phase: LoadStep['kind'] | 'end';
  /** Number of calls placed so far. */
  readonly placed: number;
  /** Number of calls that stream now. */
  readonly streaming: number;
  /** Number of calls whose stream never started. */
  readonly failed: number;
  /** The step that runs, and when it began in monotonic milliseconds. */
  readonly step?: LoadStep;
  readonly stepBegunAt?: number;
}

/** The run at one moment, and since the previous sample. */
export interface LoadSample {
  /** Seconds since the run began. */
  readonly seconds: number;
  /** Number of calls that stream now. */
  readonly streaming: number;
  /** Number of calls placed so far. */
  readonly placed: number;
  /** Number of calls whose stream never started, so far. */
  readonly failed: number;
  /** Number of calls whose stream ended before it was hung up, so far. */
  readonly lost: number;
  /** Of the frames echoed since the previous sample, in milliseconds; 0 without any. */
  readonly roundTripP50Ms: number;
  readonly roundTripP99Ms: number;
  /** The generator's, as a share of one core. */
  readonly cpu: number;
}

/** Results of scripted callers. */
export interface ScriptReport {
  readonly name: string;
  /** Number of callers that did all steps. */
  readonly completed: number;
  /** Number of callers that could not do a step. */
  readonly failed: number;
  /** Number of callers that were hung up in the middle because the run was over or they were replaced. */
  readonly cutShort: number;
  readonly firstFailure: string | undefined;
}

/** The results of {@link runLoad}. */
export interface LoadReport extends MergedReport {
  /**
   * Whether an echo was expected. Without one nobody can tell which frame came back when: `roundTrip`, `pairing`, what is
   * missing or left out, `proof`, `delay` and the round trips of `samples` say nothing then.
   */
  readonly echoes: boolean;
  readonly calls: number;
  /** Most calls that streamed at one time. */
  readonly mostStreaming: number;
  /** Calls whose stream never started, with the first reason. */
  readonly failed: number;
  readonly firstFailure: string | undefined;
  /** Calls whose stream ended before it was hung up, and no other took its place. */
  readonly lostCalls: number;
  /** Calls that went on over another stream. */
  readonly handovers: HandoverReport;
  readonly script: ScriptReport | undefined;
  /** Of the calls that recorded an echo for some seconds; `undefined` where none did. */
  readonly delay: DelayReport | undefined;
  readonly steps: readonly LoadStep[];
  /** Whether it was ended before its steps were done. */
  readonly aborted: boolean;
  readonly heldMs: number;
  readonly webhook: Percentiles;
  readonly handshake: Percentiles;
  readonly samples: readonly LoadSample[];
  readonly generator: GeneratorReport;
  /** Whether the generator, not the server, set the figures; `generator.limits` says why. */
  readonly generatorLimited: boolean;
}

/**
 * Ramps up calls, holds them, ends them, and reports. Round trips, gaps and the generator's own cost are of
 * the time behind the first ramps; counts are of whole calls. Runs in this process: give the server one of its own.
 * @throws TypeError for options out of range; without `onUnsaved`, the error of a recording that could not be written
 */
export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const steps = options.steps ?? stepsOf(options);
  const twilio = new SimulatedTwilio(options);
  const load = new Load(twilio, options, steps);
  try {
    await load.run();
    return load.report();
  } finally {
    await twilio.close();
    load.close();
  }
}

function stepsOf({ calls, rate = 50, durationMs = 10_000, churn = 0 }: LoadOptions): LoadStep[] {
  if (!(calls !== undefined && Number.isInteger(calls) && calls >= 1 && calls <= MOST_CALLS))
    throw expected(`1 to ${MOST_CALLS}`, 'calls', calls);
  if (!(rate > 0)) throw expected('more than 0 calls per second', 'rate', rate);
  if (!(durationMs >= 0)) throw expected('at least 0 milliseconds', 'durationMs', durationMs);
  if (!(churn >= 0)) throw expected('at least 0 calls per second', 'churn', churn);
  const seconds = durationMs / 1000;
  return [
    { kind: 'ramp', calls, rate },
    churn === 0 ? { kind: 'hold', seconds } : { kind: 'churn', rate: churn, seconds },
  ];
}

class Load {
  /** Calls that are not over, the oldest first. */
  private readonly live = new Set<SimulatedPhone>();
  /** Those that hung up, or were told to; what comes after is nobody's fault. */
  private readonly left = new WeakSet<SimulatedPhone>();
  private readonly recording = new Set<SimulatedPhone>();
  private readonly starting = new Set<Promise<unknown>>();
  private readonly scripts = new Set<Promise<void>>();
  private readonly audio: AudioSource;
  private readonly totals = new StreamTotals();
  private readonly handovers = new HandoverTotals();
  private readonly webhook = new Histogram();
  private readonly handshake = new Histogram();
  /** Round trips since the last sample. */
  private readonly roundTrips = new Histogram();
  private readonly samples: LoadSample[] = [];
  private readonly delays: DelayTrack[] = [];
  private readonly meter: GeneratorMeter;
  private readonly clock: Clock;
  private readonly begunAt: number;
  private step: LoadStep | undefined;
  private stepBegunAt = 0;
  private isEnding = false;
  private placed = 0;
  private streaming = 0;
  private mostStreaming = 0;
  private failed = 0;
  private lost = 0;
  private firstFailure: string | undefined;
  private readonly script = { completed: 0, failed: 0, cutShort: 0 };
  private firstScriptFailure: string | undefined;
  private generator: GeneratorReport | undefined;
  private progressTimer: Timer | undefined;
  private sampleTimer: Timer | undefined;
  private readonly cpu = new CpuShare();

  constructor(
    private readonly twilio: SimulatedTwilio,
    private readonly options: LoadOptions,
    private readonly steps: readonly LoadStep[],
  ) {
    this.audio =
      options.audio ?? (options.script === undefined ? AudioSource.speech() : AudioSource.silence());
    this.clock = twilio.clock.time;
    this.begunAt = this.clock.now();
    this.meter = new GeneratorMeter(twilio.clock);
    const { onProgress } = options;
    if (onProgress !== undefined) {
      this.progressTimer = this.clock.every(PROGRESS_MS, () => onProgress(this.progress));
    }
    const every = Math.max(
      SHORTEST_SAMPLE_MS,
      Math.min(SAMPLE_MS, secondsOf(steps) * 50),
      (secondsOf(steps) * 1000) / MOST_SAMPLES,
    );
    this.sampleTimer = this.clock.every(every, () => this.sample());
  }

  async run(): Promise<void> {
    let isMeasured = false;
    for (const step of this.steps) {
      if (this.isAborted) break;
      this.step = step;
      this.stepBegunAt = this.clock.now();
      this.options.onProgress?.(this.progress);
      if (step.kind === 'ramp') {
        await this.ramp(step.calls, step.rate);
        continue;
      }
      if (!isMeasured) this.beginMeasurement();
      isMeasured = true;
      if (step.kind === 'hold') await this.holdCalls(step.seconds * 1000);
      else await this.churn(step.rate, step.seconds * 1000);
    }
    this.generator = this.meter.report();
    this.sample();
    await this.end();
  }

  report(): LoadReport {
    const { script } = this.options;
    const generator = this.generator ?? this.meter.report();
    return {
      ...this.totals.merged(),
      echoes: this.echoes,
      calls: this.placed,
      mostStreaming: this.mostStreaming,
      failed: this.failed,
      firstFailure: this.firstFailure,
      lostCalls: this.lost,
      handovers: this.handovers.report(),
      script: script && { name: script.name, ...this.script, firstFailure: this.firstScriptFailure },
      delay: delayReport(this.delays),
      steps: this.steps,
      aborted: this.isAborted,
      heldMs: this.steps.reduce((sum, step) => sum + (step.kind === 'ramp' ? 0 : step.seconds * 1000), 0),
      webhook: this.webhook.percentiles(),
      handshake: this.handshake.percentiles(),
      samples: this.samples,
      generator,
      generatorLimited: generator.limits.length > 0,
    };
  }

  private get echoes(): boolean {
    return this.options.script === undefined && this.options.echoes !== false;
  }

  close(): void {
    this.clock.cancel(this.progressTimer);
    this.clock.cancel(this.sampleTimer);
    this.meter.close();
    this.options.onProgress?.(this.progress);
  }

  /** Places or hangs up calls by monotonic deadlines until there are so many, and waits until each streams or failed. */
  private async ramp(calls: number, rate: number): Promise<void> {
    const more = calls - this.live.size;
    await this.paced(Math.abs(more), rate, () => {
      if (more > 0) this.place();
      else this.dismissOldest();
    });
    await Promise.race([Promise.all(this.starting), this.untilAborted]);
  }

  private async holdCalls(durationMs: number): Promise<void> {
    if (this.options.script === undefined) {
      await this.sleep(durationMs);
      return;
    }
    // Whoever has come to the end of a script without hanging up stays on the line, for nothing.
    const all = Promise.all(this.scripts);
    const done = new AbortController();
    void all.then(() => done.abort());
    await this.sleep(durationMs, done.signal);
  }

  private async churn(rate: number, durationMs: number): Promise<void> {
    const begun = this.clock.now();
    await this.paced(Math.floor((rate * durationMs) / 1000), rate, () => {
      this.dismissOldest();
      this.place();
    });
    await this.sleep(begun + durationMs - this.clock.now());
  }

  /** Does something `times` times, `rate` times a second; notes how far it falls behind. */
  private async paced(times: number, rate: number, act: () => void): Promise<void> {
    const begun = this.clock.now();
    for (let i = 0; i < times && !this.isAborted; i++) {
      const due = begun + (i * 1000) / rate;
      const wait = due - this.clock.now();
      if (wait > 1) await this.sleep(wait);
      else if (i % HANG_UPS_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
      this.meter.noteBehind(this.clock.now() - due);
      act();
    }
  }

  private beginMeasurement(): void {
    for (const phone of this.live) phone.stream?.restartMeasurement();
    this.totals.restart();
    this.meter.restart();
  }

  private async end(): Promise<void> {
    const { recordDirectory, onUnsaved, script } = this.options;
    this.isEnding = true;
    const phones = [...this.live];
    for (const phone of phones) {
      // In the middle of a hand-over, or over and not yet noticed: the run saw no end of it.
      if (phone.streams.length > 0 && !phone.stream?.isOpen && !this.left.has(phone)) this.lost += 1;
      this.left.add(phone);
    }
    for (let i = 0; i < phones.length; i += HANG_UPS_AT_ONCE) {
      for (const phone of phones.slice(i, i + HANG_UPS_AT_ONCE)) void phone.hangUp();
      await this.clock.sleep(2);
    }
    await Promise.all(phones.map((phone) => phone.ended));
    await Promise.all(this.scripts);
    for (const phone of this.recording) {
      this.fold(phone);
      if (script === undefined) this.delays.push(this.delaysOf(phone));
    }
    if (recordDirectory === undefined) return;
    for (const phone of this.recording) {
      if (phone.stream === undefined) continue;
      try {
        phone.saveRecording(join(recordDirectory, `${phone.callSid}.wav`));
      } catch (error) {
        if (onUnsaved === undefined) throw error;
        onUnsaved(error as Error);
      }
    }
  }

  private get isAborted(): boolean {
    return this.options.signal?.aborted === true;
  }

  private get untilAborted(): Promise<void> {
    const { signal } = this.options;
    return new Promise((resolve) => {
      if (signal?.aborted === true) resolve();
      else signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  private get progress(): LoadProgress {
    const { placed, streaming, failed, step, stepBegunAt } = this;
    const phase = this.isEnding ? 'end' : (step?.kind ?? 'ramp');
    return { phase, placed, streaming, failed, ...(step !== undefined && { step, stepBegunAt }) };
  }

  private sample(): void {
    const now = this.clock.now();
    const { p50Ms, p99Ms } = this.roundTrips.percentiles();
    this.roundTrips.reset();
    const cpu = this.cpu.value;
    this.cpu.restart();
    // Calls that do not start can make a run longer than its steps say.
    if (this.samples.length >= 4 * MOST_SAMPLES) return;
    this.samples.push({
      seconds: (now - this.begunAt) / 1000,
      streaming: this.streaming,
      placed: this.placed,
      failed: this.failed,
      lost: this.lost,
      roundTripP50Ms: p50Ms,
      roundTripP99Ms: p99Ms,
      cpu,
    });
  }

  private place(): void {
    const { webhookUrl, profile, script } = this.options;
    const { from = '+12065550100', to = '+14155550123' } = this.options;
    const index = this.placed;
    const records = index < (this.options.proofCalls ?? (script === undefined ? 4 : 0));
    const phone = this.twilio.placeCall({
      webhookUrl,
      from,
      to,
      audio: this.audio,
      profile: profile && { ...profile, seed: (profile.seed ?? 1) + index },
      record: records && RECORD_MS,
      proofMs: PROOF_MS,
      listens: script !== undefined,
      roundTrips: this.roundTrips,
      echoes: this.echoes,
    });
    this.placed += 1;
    this.live.add(phone);
    if (records) this.recording.add(phone);
    phone.on('stream', (stream) => {
      this.streaming += 1;
      this.mostStreaming = Math.max(this.mostStreaming, this.streaming);
      void stream.ended.then(() => {
        this.streaming -= 1;
      });
    });
    const starting = phone.started
      .catch((error: Error) => {
        if (this.left.has(phone)) return;
        this.failed += 1;
        this.firstFailure ??= error.message;
        if (isOutOfFiles(error)) this.meter.noteOutOfFiles();
      })
      .finally(() => this.starting.delete(starting));
    this.starting.add(starting);
    void phone.ended.then(() => this.over(phone));
    if (script === undefined) return;
    const following = this.follow(phone, script).finally(() => this.scripts.delete(following));
    this.scripts.add(following);
  }

  private async follow(phone: SimulatedPhone, script: Script): Promise<void> {
    const caller = new ScriptedCaller(phone, script, this.clock, () => this.left.add(phone));
    const { completed, failure } = await caller.run();
    // A call that never streamed has failed as a call.
    if (phone.streams.length === 0) return;
    if (completed) this.script.completed += 1;
    else if (this.left.has(phone)) this.script.cutShort += 1;
    else {
      this.left.add(phone);
      this.script.failed += 1;
      this.firstScriptFailure ??= failure;
    }
    if (completed) this.left.add(phone);
    // A caller that gave up does not linger.
    else void phone.hangUp();
  }

  private over(phone: SimulatedPhone): void {
    this.live.delete(phone);
    // A script learns of the end, too, and tells better whether it was wrong.
    if (this.options.script === undefined && phone.streams.length > 0 && !this.left.has(phone)) {
      this.lost += 1;
      this.left.add(phone);
    }
    if (!this.recording.has(phone)) this.fold(phone);
  }

  /** Adds what a call measured to the totals; it need not be kept then. */
  private fold(phone: SimulatedPhone): void {
    for (const stream of phone.streams) this.totals.add(stream.report(), stream.roundTrip);
    for (const handover of phone.handovers) this.handovers.add(handover);
    if (phone.webhookMs !== undefined) this.webhook.record(phone.webhookMs * 1000);
    if (phone.handshakeMs !== undefined) this.handshake.record(phone.handshakeMs * 1000);
  }

  /** Over all streams of a call, in seconds of the run. */
  private delaysOf(phone: SimulatedPhone): DelayTrack {
    const tracks = phone.streams.map((stream) => {
      const { samples, stalls } = stream.delays();
      const began = (stream.times.startedAt - this.begunAt) / 1000;
      return {
        samples: samples.map(({ seconds, delayMs }) => ({ seconds: began + seconds, delayMs })),
        stalls: stalls.map(({ from, until }) => ({ from: began + from, until: began + until })),
      };
    });
    return {
      samples: tracks.flatMap((track) => track.samples),
      stalls: tracks.flatMap((track) => track.stalls),
    };
  }

  /** The call that talks longest hangs up; those that record for the proof are spared while there are others. */
  private dismissOldest(): void {
    let oldest: SimulatedPhone | undefined;
    for (const phone of this.live) {
      if (this.left.has(phone)) continue;
      oldest ??= phone;
      if (this.recording.has(phone)) continue;
      oldest = phone;
      break;
    }
    if (oldest === undefined) return;
    this.left.add(oldest);
    void oldest.hangUp();
  }

  /** Returns early when the run is aborted, or `early` is. */
  private sleep(milliseconds: number, early?: AbortSignal): Promise<void> {
    return this.clock.sleep(milliseconds, this.options.signal, early);
  }
}

function isOutOfFiles(error: Error): boolean {
  const { code } = (error.cause ?? error) as { code?: unknown };
  return code === 'EMFILE' || code === 'ENFILE' || code === 'EADDRNOTAVAIL';
}
