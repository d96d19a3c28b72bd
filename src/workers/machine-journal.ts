import { GatewayError } from '../errors.js';
import type { CallDetails, CallJournal, EndedCall, PassedCall } from '../live/call-journal.js';
import type { Peers } from './peers.js';

/** How long workers have to answer. */
const ANSWER_MS = 1_000;
/** Most ended calls in a list. */
const MAX_LISTED = 2_000;
/** Ended calls in one message when a worker leaves, some 3 kB each. */
const PART_CALLS = 20;

/** Ended here only because they continue elsewhere. */
const CONTINUED: ReadonlySet<unknown> = new Set(['handed-over', 'moved']);

/** The running and recent calls of all workers. */
export class MachineJournal {
  constructor(
    private readonly peers: Peers,
    private readonly journal: CallJournal,
  ) {
    peers.handle('live.ended', (about) =>
      ended(journal).slice(0, Math.min(MAX_LISTED, numberOf((about as { most?: unknown } | null)?.most))),
    );
    peers.handle('live.inspect', (about) => {
      return journal.inspect(String((about as { callId?: unknown } | null)?.callId));
    });
    peers.handle('live.adopt', (about) => {
      if (Array.isArray(about)) journal.adopt(about.filter(isPassed));
    });
  }

  /** Calls that ended within the hour, the latest first; of a call that moved between workers only its last end. */
  async list(): Promise<EndedCall[]> {
    const { peers } = this;
    // Workers share the calls evenly; a page of all of all would be too much at once.
    const most = Math.ceil(MAX_LISTED / Math.max(1, peers.serving.length));
    const answers = await peers.requestAll('live.ended', { most }, ANSWER_MS);
    const others = answers.flatMap(({ answer }) => (Array.isArray(answer) ? answer.filter(isEnded) : []));
    const all = [...ended(this.journal), ...others].sort((a, b) => (endOf(a) < endOf(b) ? 1 : -1));
    const latest = new Map<string, EndedCall>();
    for (const each of all) if (!latest.has(each.callId)) latest.set(each.callId, each);
    return [...latest.values()].slice(0, MAX_LISTED);
  }

  /**
   * A call that is running at a worker, or has ended at one within the hour.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404)
   */
  async inspect(callId: string): Promise<CallDetails> {
    const own = this.own(callId);
    if (own instanceof GatewayError || own.endedAt !== undefined) {
      const answers = await this.peers.requestAll('live.inspect', { callId }, ANSWER_MS);
      const all = answers.map(({ answer }) => answer).filter((each) => isDetails(each, callId));
      if (!(own instanceof GatewayError)) all.push(own);
      const running = all.find(({ endedAt }) => endedAt === undefined);
      const [latest] = all.sort((a, b) => (endOf(a) < endOf(b) ? 1 : -1));
      const found = running ?? latest;
      if (found !== undefined) return found;
    }
    if (own instanceof GatewayError) throw own;
    return own;
  }

  /** Gives the ended calls of this worker to one that stays, the latest to have started. */
  close(): void {
    const heir = this.peers.serving.filter((worker) => worker !== this.peers.self).at(-1);
    if (heir === undefined) return;
    const calls = this.journal.passed().filter(({ details }) => !CONTINUED.has(details.endCause));
    for (let i = 0; i < calls.length; i += PART_CALLS) {
      this.peers.notify(heir, 'live.adopt', calls.slice(i, i + PART_CALLS));
    }
  }

  private own(callId: string): CallDetails | GatewayError {
    try {
      return this.journal.inspect(callId);
    } catch (error) {
      if (error instanceof GatewayError) return error;
      throw error;
    }
  }
}

function ended(journal: CallJournal): EndedCall[] {
  return journal.list().filter(({ endCause }) => !CONTINUED.has(endCause));
}

function endOf({ endedAt = '' }: { readonly endedAt?: string | undefined }): string {
  return endedAt;
}

function numberOf(value: unknown): number {
  return Number.isSafeInteger(value) ? Number(value) : MAX_LISTED;
}

// Another worker may run another version: what these do not recognise is left out.

type Unknown<T> = { readonly [K in keyof T]?: unknown };

function isEnded(value: unknown): value is EndedCall {
  const call = (value ?? {}) as Unknown<EndedCall>;
  const texts = [
    call.callId,
    call.direction,
    call.caller,
    call.called,
    call.endedAt,
    call.endCause,
    call.result,
  ];
  const numbers = [call.durationSeconds, call.p99Us, call.underruns, call.droppedMs];
  return (
    texts.every((each) => typeof each === 'string') &&
    numbers.every((each) => Number.isFinite(each)) &&
    (call.room === undefined || typeof call.room === 'string')
  );
}

function isPassed(value: unknown): value is PassedCall {
  const { agoMs, details } = (value ?? {}) as Unknown<PassedCall>;
  return Number.isFinite(agoMs) && Number(agoMs) >= 0 && isDetails(details) && details.endedAt !== undefined;
}

function isDetails(value: unknown, callId?: string): value is CallDetails {
  const call = (value ?? {}) as Unknown<CallDetails>;
  const latency = call.latency as { gateway?: { p99Us?: unknown } } | undefined;
  const lists = [call.events, call.history];
  return (
    typeof call.callId === 'string' &&
    (callId === undefined || call.callId === callId) &&
    (call.endedAt === undefined || typeof call.endedAt === 'string') &&
    (call.traffic === undefined || (typeof call.traffic === 'object' && call.traffic !== null)) &&
    (latency === undefined || typeof latency?.gateway?.p99Us === 'number') &&
    lists.every((each) => Array.isArray(each))
  );
}
