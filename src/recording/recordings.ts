import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { PhoneCall } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import type { Clock } from '../clock.js';
import { describe, GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { counter, gauge, type Metric } from '../telemetry/metric.js';
import { RECORD_RATES, Recording, type RecordingResult, type RecordRate } from './recording.js';
import { WavFile } from './wav-file.js';

/** Maximum concurrent recordings; each takes 0.7 MB, or 1 MB at 48 kHz. */
export const MAX_RECORDINGS = 200;
/** Twilio's default maximum call duration. */
const DEFAULT_SECONDS = 14_400;
/** Longest stereo WAV file at 48 kHz. */
const MAX_SECONDS = 21_600;
const DEFAULT_RATE: RecordRate = 16_000;
/** How long a closing gateway waits for the disk. */
const CLOSE_MS = 5_000;

/** How a call is recorded: the request body of `POST /v1/calls/{id}/recording`. */
export interface RecordRequest {
  /** Maximum length in seconds, 1 to 21,600; default 14,400. */
  readonly maxSeconds?: number | undefined;
  /** Samples per second: 8,000, 16,000 (default) or 48,000. */
  readonly rate?: RecordRate | undefined;
}

/** A running recording. */
export interface RecordingView {
  readonly callId: string;
  /** Name of the file in `recordDir`. */
  readonly file: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** Samples per second. */
  readonly rate: number;
  readonly maxSeconds: number;
  /** Length so far. */
  readonly seconds: number;
  /** Milliseconds replaced by silence because the disk was too slow. */
  readonly droppedMs: number;
  /** Milliseconds of the caller's audio that arrived too late. */
  readonly lateMs: number;
}

/** What the routes need: implemented by one process and by a whole fleet. */
export interface RecordingService {
  /**
   * Starts recording a call, or waits until it is answered.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_RECORDING_OFF`, `GW_RECORDING_EXISTS`, `GW_CALL_ENDED`
   *   (409), `GW_RECORDINGS_FULL`, `GW_RECORDING_FAILED` (503)
   */
  startRecording(callId: string, request: RecordRequest): Promise<RecordingView>;
  /** @throws GatewayError `GW_RECORDING_NONE` (404) */
  viewRecording(callId: string): RecordingView | Promise<RecordingView>;
  /**
   * Ends a call's recording; resolves when its file is complete.
   * @throws GatewayError `GW_RECORDING_NONE` (404)
   */
  stopRecording(callId: string): Promise<RecordingResult>;
}

/** @internal */
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

/** The recordings of a gateway: one per call, their files, and their shutdown. */
export class Recordings implements RecordingService {
  readonly metrics: readonly Metric[];
  /** By call; `undefined` while the file is being created. */
  private readonly running = new Map<string, Recording | undefined>();
  /** Finished recordings still being written. */
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
      counter('recordings_failed_total', 'Recordings ended by a disk error', () => past.failed),
      counter(
        'recording_dropped_ms_total',
        'Milliseconds lost to a slow disk, in ended recordings',
        () => past.droppedMs,
      ),
    ];
  }

  /**
   * Creates and checks the directory.
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
      throw new GatewayError('GW_RECORDING_OFF', 'Recording is off: RECORD_DIR is not set');
    }
    if (this.running.has(callId)) {
      throw new GatewayError('GW_RECORDING_EXISTS', `Call ${callId} is already being recorded`);
    }
    if (this.running.size >= MAX_RECORDINGS) {
      throw new GatewayError('GW_RECORDINGS_FULL', `The gateway already has ${MAX_RECORDINGS} recordings`);
    }
    this.running.set(callId, undefined);
    const { rate = DEFAULT_RATE, maxSeconds = DEFAULT_SECONDS } = request;
    const file = fileName(callId, this.clock.date());
    let recording: Recording | undefined;
    let wav: WavFile | undefined;
    try {
      const failed = (error: unknown) => {
        this.log.error({ callId, err: error }, 'recording failed: disk error');
        void recording?.finish('disk-error');
      };
      wav = await WavFile.create(join(directory, file), rate, failed);
      recording = new Recording({ callId, file, rate, maxSeconds, leadMs }, wav, this.clock);
    } catch (cause) {
      this.running.delete(callId);
      await wav?.close();
      this.log.error({ callId, err: cause }, 'failed to start a recording');
      throw new GatewayError('GW_RECORDING_FAILED', 'The recording file could not be created', { cause });
    }
    const made = recording;
    this.running.set(callId, made);
    this.closing.add(made.ended);
    void made.ended.then((result) => this.ended(made, call, result));
    if (stream.isEnded) {
      // After this error, nothing of the recording is left.
      await made.finish('call-ended');
      throw new GatewayError('GW_CALL_ENDED', `Call ${callId} has already ended`);
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

  /** Ends all recordings and waits for the disk, within a limit. */
  async close(): Promise<void> {
    for (const recording of this.running.values()) void recording?.finish('closed');
    await this.clock.within(CLOSE_MS, Promise.all(this.closing));
  }

  private require(callId: string): Recording {
    const recording = this.running.get(callId);
    if (recording === undefined) {
      throw new GatewayError('GW_RECORDING_NONE', `Call ${callId} is not being recorded`);
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
      this.log.error({ callId, err: error }, 'a "recording" listener threw');
    }
  }
}

/** File name from call and time; call ids may be chosen by the user. */
function fileName(callId: string, date: Date): string {
  const time = date.toISOString().replace(/[:.]/g, '-');
  return `${callId.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 100)}-${time}.wav`;
}
