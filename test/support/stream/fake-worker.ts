import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { duplexPair, PassThrough } from 'node:stream';
import { FramePipe } from '../../../src/bridge/stream/frame-pipe.js';
import type { FromWorker, ToWorker } from '../../../src/bridge/stream/worker-messages.js';
import type { Clock } from '../../../src/clock.js';

/** How long a message between the two processes takes. */
const MESSAGE_MS = 1;

/** Processes of media workers that need no process: how they fare is up to the test. */
export class FakeWorkers {
  /** All there have been, in order. */
  readonly all: FakeWorker[] = [];
  /** For workers forked from now on: how long they take to become ready, or never. */
  startMs: number | undefined = 700;

  constructor(private readonly clock: Clock) {}

  readonly fork = (): ChildProcess => {
    const worker = new FakeWorker(this.clock, 1_000 + this.all.length, this.startMs);
    this.all.push(worker);
    return worker as unknown as ChildProcess;
  };

  readonly timeOf = (pid: number): number | undefined => this.all[pid - 1_000]?.threadMs;

  get alive(): FakeWorker[] {
    return this.all.filter(({ connected }) => connected);
  }
}

/** A media worker's process as its gateway sees it. */
export class FakeWorker extends EventEmitter {
  connected = true;
  readonly stderr = new PassThrough();
  readonly stdio;
  /** The messages it received, except pings. */
  readonly told: ToWorker[] = [];
  /** Legs that it is to carry and that have not left. */
  readonly legs = new Set<number>();
  /** Exists, but no longer answers. */
  isHung = false;
  pings = 0;
  rss = 100e6;
  cpuMs = 0;
  lateMs = 0;
  /** CPU time of its main thread, which grows while it works, even if it is too slow to answer. */
  threadMs: number | undefined = 0;
  dropped = 0;
  prepareMs = 20;
  joinMs = 100;
  leaveMs = 50;
  readonly forkedAt: number;
  /** Frames of the gateway's, by leg. */
  readonly frames: number[] = [];
  readonly pipe: FramePipe;

  constructor(
    private readonly clock: Clock,
    readonly pid: number,
    startMs: number | undefined,
  ) {
    super();
    const [near, far] = duplexPair();
    this.stdio = [null, null, this.stderr, near];
    this.pipe = new FramePipe(far, (leg) => this.frames.push(leg));
    this.forkedAt = clock.now();
    if (startMs !== undefined) clock.after(startMs, () => this.say({ type: 'ready', stack: 'wrtc' }));
  }

  send(message: ToWorker): void {
    this.clock.after(MESSAGE_MS, () => this.receive(message));
  }

  say(message: FromWorker): void {
    if (this.connected && !this.isHung) this.emit('message', message);
  }

  kill(signal: NodeJS.Signals): void {
    this.exit(null, signal);
  }

  exit(code: number | null, signal: NodeJS.Signals | null = null): void {
    if (!this.connected) return;
    this.connected = false;
    this.emit('exit', code, signal);
  }

  private receive(message: ToWorker): void {
    if (!this.connected || this.isHung) return;
    if (message.type === 'ping') {
      this.pings += 1;
      const { rss, cpuMs, lateMs, dropped } = this;
      this.say({ type: 'pong', rss, cpuMs, lateMs, dropped });
      return;
    }
    this.told.push(message);
    if (message.type === 'join') {
      const { leg } = message;
      this.legs.add(leg);
      this.clock.after(this.prepareMs, () => {
        if (this.legs.has(leg)) this.say({ type: 'prepared', leg });
      });
    } else if (message.type === 'appear') {
      const { leg } = message;
      this.clock.after(this.joinMs, () => {
        if (this.legs.has(leg)) this.say({ type: 'joined', leg });
      });
    } else if (message.type === 'leave') {
      const { leg } = message;
      this.clock.after(this.leaveMs, () => {
        this.legs.delete(leg);
        this.say({ type: 'left', leg });
      });
    } else if (message.type === 'end') this.exit(0);
  }
}
