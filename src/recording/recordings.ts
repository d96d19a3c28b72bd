import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { PhoneCall } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import type { Clock } from '../clock.js';
import type { ErrorCode } from '../error-catalogue.js';
import { describe, GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { counter, gauge, type Metric } from '../telemetry/metric.js';
import { RECORD_RATES, Recording, type RecordingResult, type RecordRate } from './recording.js';
import { WavFile } from './wav-file.js';

/** Calls recorded at a time; each holds 0.7 MB, 1 MB at 48 kHz. */
export const MAX_RECORDINGS = 200;
/** As long as Twilio lets a call last, unless told otherwise. */
const DEFAULT_SECONDS = 14_400;
/** At 48 kHz a WAV file holds no more. */
const MAX_SECONDS = 21_600;
const DEFAULT_RATE: RecordRate = 16_000;
/** How long a gateway that closes waits for the disk. */
const CLOSE_MS = 5_000;

/** What `POST /v1/calls/{id}/recording` may ask for. */
export interface RecordRequest {
  /** Ends it by itself, 1 to 21,600; default 14,400. */
  readonly maxSeconds?: number | undefined;
  /** Samples a second; default 16,000. */
  readonly rate?: RecordRate | undefined;
}

/** A recording that runs. */
export interface RecordingView {
  readonly callId: string;
  readonly file: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly rate: number;
  readonly maxSeconds: number;
  readonly seconds: number;
  readonly droppedMs: number;
  readonly lateMs: number;
}

/** What the routes ask for: of this process, or of a whole fleet. */
export interface RecordingService {
  /**
   * Records a call from now on, or from when somebody is on the phone.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_RECORDING_OFF`, `GW_RECORDING_EXISTS`, `GW_CALL_ENDED` (409),
   * `GW_RECORDINGS_FULL`, `GW_RECORDING_FAILED` (503)
   */
  startRecording(callId: string, request: RecordRequest): Promise<RecordingView>;
  /** @throws GatewayError `GW_RECORDING_NONE` (404) */
  viewRecording(callId: string): RecordingView | Promise<RecordingView>;
  /**
   * Ends a call's recording; fulfilled when its file is whole.
   * @throws GatewayError `GW_RECORDING_NONE` (404)
   */
  stopRecording(callId: string): Promise<RecordingResult>;
}

export const RecordRequest = z
  .strictObject({
    maxSeconds: z.number().int().min(1).max(MAX_SECONDS).optional(),
    rate: z.literal(RECORD_RATES).optional(),
  })
  .meta({ title: 'RecordRequest' });

/** @throws GatewayError `GW_BAD_REQUEST` (400) */
export function checkRecordRequest(value: unknown): RecordRequest {
  const parsed = RecordRequest.safeParse(value);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path[0];
  const wanted =
    path === 'maxSeconds'
      ? `1 to ${MAX_SECONDS} seconds`
      : path === 'rate'
        ? RECORD_RATES.join(', ')
        : 'maxSeconds and rate, or nothing,';
  const received = path === undefined ? value : (value as Record<PropertyKey, unknown>)[path];
  const message = `Expected ${wanted} for ${path === undefined ? 'a recording' : String(path)} but received ${describe(received)}`;
  throw new GatewayError('GW_BAD_REQUEST', message);
}

/** The recordings of a gateway: which call has one, where they go, and their common end. */
export class Recordings implements RecordingService {
  readonly metrics: readonly Metric[];
  /** By call; `undefined` while a file is being made. */
  private readonly running = new Map<string, Recording | undefined>();
  /** Recordings that are over but for the disk. */
  private readonly closing = new Set<Promise<unknown>>();
  private readonly past = { finished: 0, failed: 0, droppedMs: 0 };

  constructor(
    private readonly directory: string | undefined,
    private readonly leadMs: number,
    private readonly sessionOf: (callId: string) => Pick<Session, 'call' | 'stream'>,
    private readonly log: Logger,
    private readonly onEnd: (call: PhoneCall, result: RecordingResult) => void,
    private readonly clock: Clock,
  ) {
    const { past } = this;
    this.metrics = [
      gauge('recordings_active', 'Calls being recorded', () => this.running.size),
      counter('recordings_ended_total', 'Recordings ended', () => past.finished),
      counter('recordings_failed_total', 'Recordings the disk ended', () => past.failed),
      counter(
        'recording_dropped_ms_total',
        'Milliseconds the disk was too slow for, in ended recordings',
        () => past.droppedMs,
      ),
    ];
  }

  /**
   * Makes sure that there is a place to write to.
   * @throws GatewayError `GW_RECORD_DIR`
   */
  open(): void {
    if (this.directory === undefined) return;
    try {
      accessSync(this.directory, constants.W_OK | constants.X_OK);
    } catch (cause) {
      const message = `Expected a directory to write to for RECORD_DIR but received ${JSON.stringify(this.directory)}`;
      throw new GatewayError('GW_RECORD_DIR', message, { cause });
    }
  }

  async startRecording(callId: string, request: RecordRequest = {}): Promise<RecordingView> {
    const { call, stream } = this.sessionOf(callId);
    const { directory, leadMs } = this;
    if (directory === undefined) {
      throw refusal('GW_RECORDING_OFF', 'RECORD_DIR for a recording', 'none');
    }
    if (this.running.has(callId)) {
      throw refusal('GW_RECORDING_EXISTS', 'a call that is not recorded', 'one that is');
    }
    if (this.running.size >= MAX_RECORDINGS) {
      throw refusal('GW_RECORDINGS_FULL', `at most ${MAX_RECORDINGS} recordings`, 'one more');
    }
    this.running.set(callId, undefined);
    const { rate = DEFAULT_RATE, maxSeconds = DEFAULT_SECONDS } = request;
    const file = fileName(callId, this.clock.date());
    let recording: Recording | undefined;
    let wav: WavFile | undefined;
    try {
      const failed = (error: unknown) => {
        this.log.error({ callId, err: error }, 'a recording could not be written');
        void recording?.finish('disk-error');
      };
      wav = await WavFile.create(join(directory, file), rate, failed);
      recording = new Recording({ callId, file, rate, maxSeconds, leadMs }, wav, this.clock);
    } catch (cause) {
      this.running.delete(callId);
      await wav?.close();
      this.log.error({ callId, err: cause }, 'a recording could not be begun');
      throw refusal('GW_RECORDING_FAILED', 'a file that can be written for a recording', 'an error', cause);
    }
    const made = recording;
    this.running.set(callId, made);
    this.closing.add(made.ended);
    void made.ended.then((result) => this.ended(made, call, result));
    if (stream.isEnded) {
      // Whoever is told so finds nothing of it any more.
      await made.finish('call-ended');
      throw refusal('GW_CALL_ENDED', 'a call that lasts for a recording', 'its end');
    }
    const begin = () => made.begin();
    const end = () => void made.finish('call-ended');
    stream.once('start', begin).once('end', end);
    stream.tap = made;
    void made.ended.then(() => {
      stream.off('start', begin).off('end', end);
      if (stream.tap === made) stream.tap = undefined;
    });
    if (stream.isConnected) made.begin();
    this.log.info({ callId, file }, 'recording');
    return this.viewRecording(callId);
  }

  viewRecording(callId: string): RecordingView {
    const { options, startedAt, seconds, droppedMs, lateMs } = this.require(callId);
    const { file, rate, maxSeconds } = options;
    return {
      callId,
      file,
      startedAt: startedAt.toISOString(),
      rate,
      maxSeconds,
      seconds,
      droppedMs: Math.round(droppedMs),
      lateMs: Math.round(lateMs),
    };
  }

  async stopRecording(callId: string): Promise<RecordingResult> {
    return this.require(callId).finish('stopped');
  }

  /** Ends all of them and waits for the disk, though not for ever. */
  async close(): Promise<void> {
    for (const recording of this.running.values()) void recording?.finish('closed');
    await this.clock.within(CLOSE_MS, Promise.all(this.closing));
  }

  private require(callId: string): Recording {
    const recording = this.running.get(callId);
    if (recording === undefined) {
      throw refusal('GW_RECORDING_NONE', 'a call that is recorded', 'another');
    }
    return recording;
  }

  private ended({ options: { callId }, ended }: Recording, call: PhoneCall, result: RecordingResult): void {
    this.running.delete(callId);
    this.closing.delete(ended);
    this.past.finished += 1;
    this.past.droppedMs += result.droppedMs;
    if (result.end === 'disk-error') this.past.failed += 1;
    const { file, end, seconds, droppedMs, lateMs } = result;
    this.log.info({ callId, file, end, seconds, droppedMs, lateMs }, 'recording ended');
    try {
      this.onEnd(call, result);
    } catch (error) {
      this.log.error({ callId, err: error }, 'a listener of "recording" failed');
    }
  }
}

/** Call and time; a call's id may be the user's own. */
function fileName(callId: string, date: Date): string {
  const time = date.toISOString().replace(/[:.]/g, '-');
  return `${callId.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 100)}-${time}.wav`;
}

function refusal(code: ErrorCode, what: string, received: string, cause?: unknown): GatewayError {
  return new GatewayError(code, `Expected ${what} but received ${received}`, { cause });
}
