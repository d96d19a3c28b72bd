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
 * Interval between writes, and the minimum age of an event to be written: a killed process loses no more than
 * both, and events delivered sooner are never written.
 */
const WRITE_MS = 130;
const WAITS_MS = 50;
/** Pause after a disk error. */
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
 * Pending events on disk, so that they survive the process. Events delivered before they are written, as to a
 * healthy receiver, never are. Each line is an event's JSON, or `-` and the id of a settled event.
 */
export class Spool {
  /** Failed writes so far. */
  failures = 0;
  private readonly segments: SpoolSegment[] = [];
  /** The file of each pending event that is on disk or being written. */
  private readonly places = new Map<string, SpoolSegment>();
  /** Events not on disk yet, the oldest first. */
  private fresh = new Map<string, Fresh>();
  /** Ids of events on disk that are settled, which is not recorded on disk yet. */
  private settled: string[] = [];
  /** The file being appended to; undefined after a failure. */
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

  /** Pending events, on disk or not. */
  get size(): number {
    return this.places.size + this.fresh.size;
  }

  /**
   * Locks the directory, creating it if necessary, and reads the events of an earlier process.
   * @returns the events in order; none if it was already open
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
      // Events may have come before the directory was free.
      if (this.fresh.size > 0) this.wake(WRITE_MS);
      return this.read();
    } catch (cause) {
      if (cause instanceof GatewayError) throw cause;
      this.lock?.release();
      this.lock = undefined;
      const message = `Expected a directory to write to for EVENTS_SPOOL_DIR but received ${directory}`;
      throw new GatewayError('GW_SPOOL_DIR', message, { cause });
    }
  }

  /** Keeps an event until it is settled. Never blocks. */
  add(id: string, json: string): void {
    this.fresh.set(id, { json, since: this.clock.now() });
    this.wake(WRITE_MS);
  }

  /** The event was delivered or given up. */
  settle(id: string): void {
    if (this.fresh.delete(id)) return;
    const place = this.places.get(id);
    if (place === undefined) return;
    this.places.delete(id);
    place.open -= 1;
    this.settled.push(id);
    this.wake(WRITE_MS);
  }

  /** Whether an event is on disk or being written. */
  holds(id: string): boolean {
    return this.places.has(id);
  }

  /** Writes the rest and releases the directory. Pending events stay for the next process. */
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
      // After the last line break there is nothing, or a line cut off by a crash or a full disk.
      for (const line of text.split('\n').slice(0, -1)) {
        if (line.startsWith('-')) {
          this.forget(line.slice(1));
          events.delete(line.slice(1));
          continue;
        }
        const event = eventOf(line);
        if (event === undefined) unreadable += 1;
        else {
          // After a failure, an event may be there twice.
          this.forget(event.id);
          this.place(event.id, segment);
          events.set(event.id, event);
        }
      }
    }
    const { directory } = this;
    if (unreadable > 0)
      this.log.error({ lines: unreadable, directory }, 'the spool contains unreadable lines');
    if (events.size > 0)
      this.log.info({ events: events.size, directory }, 'delivering events of an earlier run');
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
        // The write may be partial, so continue in a new file. Delete a file that has nothing else, or there
        // would be one per attempt.
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
    if (isFull && this.fresh.size > 0) throw new Error(`The spool is full (${this.maxBytes} bytes)`);
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

  /** Deletes files without pending events, the oldest first: an event may be settled in a later file. */
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
      this.log.info({ directory: this.directory }, 'the spool can be written again');
    }
  }

  private failed(error: unknown): void {
    this.failures += 1;
    if (!this.isFailing) {
      this.log.error(
        { err: error, directory: this.directory },
        'the spool cannot be written: events are kept in memory only',
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
