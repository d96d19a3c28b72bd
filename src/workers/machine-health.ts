import type { Clock } from '../clock.js';
import type { Peers } from './peers.js';

/** How long workers have to answer: a probe gives up after a second or two. */
const ANSWER_MS = 500;
/** How long answers are kept: anybody may ask. */
const KEPT_MS = 1_000;
/** Longest name of a reason. */
const MAX_REASON = 40;

/** A worker as `/health` shows it. */
export interface WorkerHealth {
  /** Its number: a replacement has another. */
  readonly worker: number;
  /** Which of the machine's places it has. */
  readonly place: number;
  readonly pid: number;
  readonly calls: number;
  readonly uptimeSeconds: number;
  readonly draining: boolean;
  /** Whether it takes new calls. */
  readonly ready: boolean;
  /** Why it takes none. */
  readonly closure?: string | undefined;
}

/** What a worker knows of itself. */
export type OwnHealth = Pick<WorkerHealth, 'calls' | 'draining' | 'ready' | 'closure'>;

/** All workers, as one of them sees them. */
export interface WorkersHealth {
  readonly workers: readonly WorkerHealth[];
  /** Numbers of those that did not answer. */
  readonly silent: readonly number[];
}

/** The health of all workers: any of them answers for the machine. */
export class MachineHealth {
  private others: { readonly askedAt: number; readonly answers: Promise<WorkersHealth> } | undefined;

  constructor(
    private readonly peers: Peers,
    private readonly clock: Clock,
    private readonly own: () => OwnHealth,
  ) {
    peers.handle('health', () => this.self());
  }

  /** This worker now and the others as of the last second, by number. */
  async read(): Promise<WorkersHealth> {
    const now = this.clock.now();
    if (this.others === undefined || now - this.others.askedAt >= KEPT_MS) {
      this.others = { askedAt: now, answers: this.ask() };
    }
    const { workers, silent } = await this.others.answers;
    return { workers: [...workers, this.self()].sort((a, b) => a.worker - b.worker), silent };
  }

  private async ask(): Promise<WorkersHealth> {
    const { peers } = this;
    const asked = peers.serving.filter((worker) => worker !== peers.self);
    const answers = await peers.requestAll('health', {}, ANSWER_MS);
    const workers = answers.flatMap(({ worker, answer }) => checked(worker, answer));
    const heard = new Set(workers.map(({ worker }) => worker));
    return {
      workers,
      silent: asked.filter((worker) => !heard.has(worker) && peers.serving.includes(worker)),
    };
  }

  private self(): WorkerHealth {
    const { self: worker, place } = this.peers;
    return { worker, place, pid: process.pid, ...this.own(), uptimeSeconds: process.uptime() };
  }
}

/** A worker's answer, if it is one: it may run another version. */
function checked(worker: number, answer: unknown): WorkerHealth[] {
  const { place, pid, calls, uptimeSeconds, draining, ready, closure } = (answer ?? {}) as Partial<
    Record<string, unknown>
  >;
  if (!isCount(place) || !isCount(pid) || !isCount(calls)) return [];
  return [
    {
      worker,
      place,
      pid,
      calls,
      uptimeSeconds: Number.isFinite(uptimeSeconds) ? Number(uptimeSeconds) : 0,
      draining: draining === true,
      ready: ready === true,
      ...(typeof closure === 'string' && { closure: closure.slice(0, MAX_REASON) }),
    },
  ];
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
