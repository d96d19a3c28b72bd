import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { expected } from '../errors.js';
import { AudioSource } from './audio.js';
import { SimulatedTwilio } from './carrier.js';
import { monotonicNow } from './clock.js';
import type { DialMapping } from './dial.js';
import { type HandoverReport, reportHandovers } from './handover.js';
import { Histogram, type Percentiles } from './histogram.js';
import type { LineProfile } from './line.js';
import { type MergedReport, mergeReports } from './measurement.js';
import type { SimulatedPhone } from './phone.js';

/** Beyond this share of a core the generator measures itself; the row is void. */
const CPU_LIMIT = 0.7;
/** Nor may its clock lag: a frame that leaves late looks like a slow server. */
const LATENESS_LIMIT_MS = 10;
/** Milliseconds recorded for the proof that audio came back. */
const PROOF_MS = 6000;
/** Calls are hung up this many at a time, so that the end is not one burst. */
const HANG_UPS_AT_ONCE = 20;
/** How often `onProgress` is told. */
const PROGRESS_MS = 250;

export interface LoadOptions {
  readonly webhookUrl: string;
  readonly authToken: string;
  readonly accountSid?: string;
  readonly dial?: DialMapping;
  /** Concurrent calls, 1…10,000. */
  readonly calls: number;
  /** Calls placed a second; default 50. */
  readonly rate?: number;
  /** How long all of them are held once the last was placed; measured time begins then. Default 10,000. */
  readonly durationMs?: number;
  /** What every caller says; default the speech recording. */
  readonly audio?: AudioSource;
  readonly profile?: LineProfile;
  readonly from?: string;
  readonly to?: string;
  /** Calls that record, to prove that their audio came back, 0…calls; default at most 4. */
  readonly proofCalls?: number;
  /** Write what each recording call hears, whole calls, as `<CallSid>.wav` in this directory. */
  readonly recordDirectory?: string;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Ends the run early; its report covers what was. */
  readonly signal?: AbortSignal;
}

export interface LoadProgress {
  readonly phase: 'ramp' | 'hold' | 'end';
  readonly placed: number;
  readonly streaming: number;
  readonly failed: number;
}

/** What the generator itself cost while all calls were held. */
export interface GeneratorReport {
  /** Share of one core, 0…(number of cores). */
  readonly cpu: number;
  readonly eventLoopDelay: Percentiles;
  /** How late frames left. */
  readonly lateness: Percentiles;
}

export interface LoadReport extends MergedReport {
  readonly calls: number;
  /** Calls whose stream never started, with the first reason. */
  readonly failed: number;
  readonly firstFailure: string | undefined;
  /** Calls whose stream ended before it was hung up, and no other took its place. */
  readonly lostCalls: number;
  /** Calls that went on over another stream. */
  readonly handovers: HandoverReport;
  readonly heldMs: number;
  readonly webhook: Percentiles;
  readonly handshake: Percentiles;
  readonly generator: GeneratorReport;
  /** Whether the generator, not the server, set the figures: CPU above 70 % of a core or a late clock. */
  readonly generatorLimited: boolean;
}

/**
 * Ramps up calls, holds them, ends them, and reports. Round trips, gaps and the generator's own cost are of
 * the hold only; counts are of whole calls. Runs in this process: give the server one of its own.
 */
export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const { calls, rate = 50, durationMs = 10_000 } = options;
  if (!(Number.isInteger(calls) && calls >= 1 && calls <= 10_000))
    throw expected('1 to 10000', 'calls', calls);
  if (!(rate > 0)) throw expected('more than 0 calls per second', 'rate', rate);
  if (!(durationMs >= 0)) throw expected('at least 0 milliseconds', 'durationMs', durationMs);
  const twilio = new SimulatedTwilio(options);
  const load = new Load(twilio, options);
  try {
    await load.ramp(calls, rate);
    const generator = await load.hold(durationMs);
    await load.end();
    return load.report(generator, durationMs);
  } finally {
    await twilio.close();
    load.close();
  }
}

class Load {
  private readonly phones: SimulatedPhone[] = [];
  private readonly recording = new Set<SimulatedPhone>();
  private readonly audio: AudioSource;
  private phase: LoadProgress['phase'] = 'ramp';
  private streaming = 0;
  private failed = 0;
  private lost = 0;
  private firstFailure: string | undefined;
  private progressTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly twilio: SimulatedTwilio,
    private readonly options: LoadOptions,
  ) {
    this.audio = options.audio ?? AudioSource.speech();
    const { onProgress } = options;
    if (onProgress !== undefined) {
      this.progressTimer = setInterval(() => onProgress(this.progress), PROGRESS_MS);
    }
  }

  /** Places the calls by monotonic deadlines and waits until each streams or failed. */
  async ramp(calls: number, rate: number): Promise<void> {
    const begun = monotonicNow();
    for (let i = 0; i < calls && !this.aborted; i++) {
      const wait = begun + (i * 1000) / rate - monotonicNow();
      if (wait > 1) await this.sleep(wait);
      this.place(i);
    }
    const started = Promise.allSettled(this.phones.map((phone) => phone.started));
    await Promise.race([started, this.untilAborted]);
  }

  async hold(durationMs: number): Promise<GeneratorReport> {
    this.phase = 'hold';
    for (const phone of this.phones) phone.stream?.restartMeasurement();
    this.twilio.clock.lateness.reset();
    const delay = monitorEventLoopDelay({ resolution: 10 });
    delay.enable();
    const cpu = process.cpuUsage();
    const begun = monotonicNow();
    await this.sleep(durationMs);
    const { user, system } = process.cpuUsage(cpu);
    const lateness = this.twilio.clock.lateness.percentiles();
    delay.disable();
    const milliseconds = (nanoseconds: number) => (Number.isFinite(nanoseconds) ? nanoseconds / 1e6 : 0);
    return {
      cpu: (user + system) / 1000 / Math.max(1, monotonicNow() - begun),
      eventLoopDelay: {
        count: delay.count,
        meanMs: milliseconds(delay.mean),
        p50Ms: milliseconds(delay.percentile(50)),
        p99Ms: milliseconds(delay.percentile(99)),
        p999Ms: milliseconds(delay.percentile(99.9)),
        maxMs: delay.count === 0 ? 0 : milliseconds(delay.max),
      },
      lateness,
    };
  }

  async end(): Promise<void> {
    this.phase = 'end';
    this.lost = this.phones.filter((phone) => phone.streams.length > 0 && !phone.stream?.isOpen).length;
    for (let i = 0; i < this.phones.length; i += HANG_UPS_AT_ONCE) {
      for (const phone of this.phones.slice(i, i + HANG_UPS_AT_ONCE)) void phone.hangUp();
      await this.sleep(2);
    }
    await Promise.all(this.phones.map((phone) => phone.ended));
    const { recordDirectory } = this.options;
    if (recordDirectory === undefined) return;
    for (const phone of this.recording) {
      if (phone.stream !== undefined) phone.saveRecording(join(recordDirectory, `${phone.callSid}.wav`));
    }
  }

  report(generator: GeneratorReport, heldMs: number): LoadReport {
    const streams = this.phones.flatMap((phone) => phone.streams);
    const merged = mergeReports(
      streams.map((stream) => ({ report: stream.report(), roundTrip: stream.roundTrip })),
    );
    return {
      ...merged,
      calls: this.phones.length,
      failed: this.failed,
      firstFailure: this.firstFailure,
      lostCalls: this.lost,
      handovers: reportHandovers(this.phones.flatMap((phone) => phone.handovers)),
      heldMs,
      webhook: percentilesOf(this.phones.flatMap((phone) => phone.webhookMs ?? [])),
      handshake: percentilesOf(this.phones.flatMap((phone) => phone.handshakeMs ?? [])),
      generator,
      generatorLimited: generator.cpu > CPU_LIMIT || generator.lateness.p99Ms > LATENESS_LIMIT_MS,
    };
  }

  close(): void {
    clearInterval(this.progressTimer);
    this.options.onProgress?.(this.progress);
  }

  private get aborted(): boolean {
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
    const { phase, streaming, failed } = this;
    return { phase, placed: this.phones.length, streaming, failed };
  }

  private place(index: number): void {
    const { webhookUrl, profile, recordDirectory, from = '+12065550100', to = '+14155550123' } = this.options;
    const recordCalls = this.options.proofCalls ?? 4;
    const records = index < recordCalls;
    const phone = this.twilio.placeCall({
      webhookUrl,
      from,
      to,
      audio: this.audio,
      profile: profile && { ...profile, seed: (profile.seed ?? 1) + index },
      record: records && (recordDirectory !== undefined || PROOF_MS),
    });
    this.phones.push(phone);
    if (records) this.recording.add(phone);
    phone.on('stream', (stream) => {
      this.streaming += 1;
      void stream.ended.then(() => {
        this.streaming -= 1;
      });
    });
    phone.started.catch((error: Error) => {
      this.failed += 1;
      this.firstFailure ??= error.message;
    });
  }

  /** Returns early when the run is aborted. */
  private sleep(milliseconds: number): Promise<void> {
    const { signal } = this.options;
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(done, milliseconds);
      signal?.addEventListener('abort', done);

      function done(): void {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      }
    });
  }
}

function percentilesOf(milliseconds: readonly number[]): Percentiles {
  const histogram = new Histogram();
  for (const each of milliseconds) histogram.record(each * 1000);
  return histogram.percentiles();
}
