import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { DirectoryLock } from './directory-lock.js';
import { SpoolSegment } from './spool-segment.js';

export interface SpooledEvent {
  readonly id: string;
  readonly callId: string;
  readonly json: string;
}

/**
 * How often what waits is written, and how long it waited before: a process that is killed loses no more than both, and what a
 * receiver takes within the latter is never written.
 */
const WRITE_MS = 130;
const WAITS_MS = 50;
/** A disk that failed is tried again after so long. */
const RETRY_MS = 1_000;
const SEGMENT_BYTES = 2 ** 20;
const DEFAULT_MAX_BYTES = 64 * 2 ** 20;
const EXTENSION = '.events';
const FILE = /^\d{12}\.events$/;

interface Fresh {
  readonly json: string;
  readonly since: number;
}

/**
 * Events on disk that are neither delivered nor given up: they outlive the process. What is settled before it was written, as
 * with a receiver that is well, never is. Lines: an event's JSON, or `-` and the id of one that is settled.
 */
export class Spool {
  /** Times that the disk did not take what it was given. */
  failures = 0;
  private readonly segments: SpoolSegment[] = [];
  /** Where each event is that is on disk, or being written, and not settled. */
  private readonly places = new Map<string, SpoolSegment>();
  /** Events that are not on disk yet, the oldest first. */
  private fresh = new Map<string, Fresh>();
  /** Ids of events on disk that are settled, which is not written yet. */
  private settled: string[] = [];
  /** Takes what comes; none after a failure. */
  private current: SpoolSegment | undefined;
  private lock: DirectoryLock | undefined;
  private nextNumber = 1;
  private timer: Timer | undefined;
  private writing: Promise<void> | undefined;
  private isFailing = false;
  private isClosed = false;

  constructor(
    private readonly directory: string,
    private readonly log: Logger,
    private readonly clock: Clock,
    private readonly maxBytes = DEFAULT_MAX_BYTES,
  ) {}

  /** Bytes on disk. */
  get bytes(): number {
    return this.segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Events that wait, on disk or for it. */
  get size(): number {
    return this.places.size + this.fresh.size;
  }

  /**
   * Takes the directory, which is made where it is not there, and reads what an earlier process left.
   * @returns the events in order; none, where it was open already
   * @throws GatewayError `GW_SPOOL_TAKEN`, `GW_SPOOL_DIR`
   */
  open(): SpooledEvent[] {
    if (this.lock !== undefined) return [];
    const directory = JSON.stringify(this.directory);
    try {
      mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      const lock = new DirectoryLock(this.directory);
      if (!lock.acquire()) {
        throw new GatewayError('GW_SPOOL_TAKEN', `The spool ${directory} belongs to another running gateway`);
      }
      this.lock = lock;
      return this.read();
    } catch (cause) {
      if (cause instanceof GatewayError) throw cause;
      this.lock?.release();
      this.lock = undefined;
      const message = `Expected a directory to write to for EVENTS_SPOOL_DIR but received ${directory}`;
      throw new GatewayError('GW_SPOOL_DIR', message, { cause });
    }
  }

  /** Keeps an event until it is settled. Never waits. */
  add(id: string, json: string): void {
    this.fresh.set(id, { json, since: this.clock.now() });
    this.wake(WRITE_MS);
  }

  /** An event was delivered or given up. */
  settle(id: string): void {
    if (this.fresh.delete(id)) return;
    const place = this.places.get(id);
    if (place === undefined) return;
    this.places.delete(id);
    place.open -= 1;
    this.settled.push(id);
    this.wake(WRITE_MS);
  }

  /** Whether an event is on disk, or being written. */
  holds(id: string): boolean {
    return this.places.has(id);
  }

  /** Writes what is not written and lets go of the directory. What is not settled is there for the next process. */
  async close(): Promise<void> {
    if (this.lock === undefined) return;
    this.isClosed = true;
    this.clock.cancel(this.timer);
    await this.writing;
    if (this.fresh.size + this.settled.length > 0) await this.write().catch((error) => this.failed(error));
    const isEmpty = this.places.size === 0;
    await Promise.allSettled(this.segments.map((segment) => (isEmpty ? segment.remove() : segment.end())));
    this.lock.release();
    this.lock = undefined;
  }

  private read(): SpooledEvent[] {
    const events = new Map<string, SpooledEvent>();
    let unreadable = 0;
    const files = readdirSync(this.directory).filter((name) => FILE.test(name));
    for (const name of files.sort()) {
      const file = join(this.directory, name);
      const text = readFileSync(file, 'utf8');
      const segment = new SpoolSegment(file, Buffer.byteLength(text));
      this.segments.push(segment);
      this.nextNumber = Number.parseInt(name, 10) + 1;
      // Behind the last line break is nothing, or a line that a crash or a full disk has cut.
      for (const line of text.split('\n').slice(0, -1)) {
        if (line.startsWith('-')) {
          this.forget(line.slice(1));
          events.delete(line.slice(1));
          continue;
        }
        const event = eventOf(line);
        if (event === undefined) unreadable += 1;
        else {
          // One may be there twice, after a failure.
          this.forget(event.id);
          this.place(event.id, segment);
          events.set(event.id, event);
        }
      }
    }
    const { directory } = this;
    if (unreadable > 0) this.log.error({ lines: unreadable, directory }, 'lines of the spool cannot be read');
    if (events.size > 0)
      this.log.info({ events: events.size, directory }, 'events of an earlier run are delivered now');
    return [...events.values()];
  }

  private place(id: string, segment: SpoolSegment): void {
    this.places.set(id, segment);
    segment.open += 1;
  }

  private forget(id: string): void {
    const segment = this.places.get(id);
    if (segment !== undefined) segment.open -= 1;
    this.places.delete(id);
  }

  private wake(ms: number): void {
    if (this.lock === undefined || this.isClosed) return;
    this.timer ??= this.clock.after(ms, () => {
      this.writing = this.write()
        .catch((error) => this.failed(error))
        .finally(() => {
          this.writing = undefined;
          this.timer = undefined;
          if (this.fresh.size + this.settled.length > 0) this.wake(this.isFailing ? RETRY_MS : WRITE_MS);
        });
    });
  }

  private async write(): Promise<void> {
    await this.tidy();
    const isFull = this.bytes >= this.maxBytes;
    const events = isFull ? [] : this.due();
    const { settled } = this;
    const lines = [...settled.map((id) => `-${id}`), ...events.map(([, { json }]) => json)];
    if (lines.length > 0) {
      const segment = this.current ?? this.begin();
      this.settled = [];
      for (const [id] of events) {
        this.fresh.delete(id);
        this.place(id, segment);
      }
      try {
        await segment.append(`${lines.join('\n')}\n`, (error) => this.synced(error));
      } catch (error) {
        // Perhaps in part: another file begins anew. One in which nothing else stands goes, or there would be one a try.
        this.current = undefined;
        if (segment.bytes === 0) {
          this.segments.pop();
          await segment.remove().catch(() => {});
        } else void segment.end().catch(() => {});
        const again = events.filter(([id]) => this.places.has(id));
        for (const [id] of again) this.forget(id);
        this.fresh = new Map([...again, ...this.fresh]);
        this.settled.unshift(...settled);
        throw error;
      }
    }
    if (isFull && this.fresh.size > 0) throw new Error(`Expected at most ${this.maxBytes} bytes to wait`);
  }

  private due(): [string, Fresh][] {
    const by = this.isClosed ? Number.POSITIVE_INFINITY : this.clock.now() - WAITS_MS;
    const due: [string, Fresh][] = [];
    for (const event of this.fresh) {
      if (event[1].since > by) break;
      due.push(event);
    }
    return due;
  }

  /** Removes what nobody waits for, from the oldest on: an event's end may stand in a later file. */
  private async tidy(): Promise<void> {
    if (this.current !== undefined && this.current.bytes >= SEGMENT_BYTES) {
      void this.current.end().catch((error) => this.failed(error));
      this.current = undefined;
    }
    for (
      let [oldest] = this.segments;
      oldest?.open === 0 && oldest !== this.current;
      [oldest] = this.segments
    ) {
      await oldest.remove();
      this.segments.shift();
    }
  }

  private begin(): SpoolSegment {
    const name = `${String(this.nextNumber++).padStart(12, '0')}${EXTENSION}`;
    this.current = new SpoolSegment(join(this.directory, name));
    this.segments.push(this.current);
    return this.current;
  }

  private synced(error: Error | undefined): void {
    if (error !== undefined) this.failed(error);
    else if (this.isFailing && this.bytes < this.maxBytes) {
      this.isFailing = false;
      this.log.info({ directory: this.directory }, 'the spool is written again');
    }
  }

  private failed(error: unknown): void {
    this.failures += 1;
    if (!this.isFailing) {
      this.log.error(
        { err: error, directory: this.directory },
        'the spool cannot be written: events are kept in memory alone',
      );
    }
    this.isFailing = true;
  }
}

function eventOf(line: string): SpooledEvent | undefined {
  try {
    const { id, call } = JSON.parse(line) as { id: unknown; call: { callId: unknown } };
    if (typeof id === 'string' && typeof call.callId === 'string') {
      return { id, callId: call.callId, json: line };
    }
  } catch {}
  return undefined;
}
