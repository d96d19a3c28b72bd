import type { EndCause } from '../calls/call.js';
import type { Session } from '../calls/session.js';
import type { Switchboard } from '../calls/switchboard.js';
import type { Clock, Timer } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import { createHangupTwiml } from '../twilio/twiml.js';
import { factsOf } from './call-facts.js';
import { isRegistryDown } from './redis.js';
import {
  type CallFacts,
  DETACHED_MS,
  type HandoverReason,
  type RedisCallRegistry,
} from './redis-call-registry.js';
import type { WriteQueue } from './write-queue.js';

/** A call's entry is kept alive this often; it lives several times as long. */
const KEEP_MS = 15_000;
const BATCH = 100;
/** A call that no node has is written down anew so long after the others: whoever has it now says so first. */
const PATIENCE_MS = 1_000;

/** After these the caller is still there, as far as we know. */
const DETACHING: Readonly<Partial<Record<EndCause, HandoverReason>>> = {
  'handed-over': 'drain',
  'socket-closed': 'lost',
  silent: 'lost',
};

/** A call that no node has until its next socket comes: nobody but the registry knows of it, and whoever wrote it there. */
interface Awaited {
  readonly facts: CallFacts;
  readonly token: string;
  /** Why it waits for Twilio's question; absent where it rings. */
  readonly reason?: HandoverReason;
  /** In monotonic milliseconds. */
  readonly until: number;
}

/** Keeps in the registry what is true of the calls of this node, also where Redis has lost it. */
export class LeaseKeeper {
  private timer: Timer | undefined;
  private readonly awaited = new Map<string, Awaited>();

  constructor(
    private readonly redisCalls: RedisCallRegistry,
    private readonly writes: WriteQueue,
    private readonly switchboard: Switchboard,
    private readonly log: Logger,
    private readonly clock: Clock,
  ) {
    switchboard.on('over', (session, cause) => this.onCallOver(session, cause));
    // Whoever takes the call over is to find it as it is.
    switchboard.on('change', (session) => {
      this.writes.enqueue(session.call.callId, async () => {
        if (session.call.state !== 'ended') await this.restore(session);
      });
    });
  }

  open(): void {
    this.timer = this.clock.every(KEEP_MS, () => void this.catchUp());
    this.timer.unref();
  }

  /** Stops; fulfilled when all that is under way is written. */
  async close(): Promise<void> {
    this.clock.cancel(this.timer);
    await this.writes.settled();
    this.writes.clear();
  }

  /** Writes what could not be written yet, and says that our calls live. */
  async catchUp(): Promise<void> {
    await this.writes.catchUp();
    await this.renewLeases();
    if (this.awaited.size > 0) this.clock.after(PATIENCE_MS, () => void this.renewAwaited()).unref();
  }

  /** A call was given a token here, and rings nowhere. */
  awaitSocket(facts: CallFacts, token: string, forMs: number): void {
    this.awaited.set(facts.callId, { facts, token, until: this.clock.now() + forMs });
  }

  /** It is known to another node, or here as others are. */
  forget(callId: string): void {
    this.awaited.delete(callId);
  }

  /** What becomes of a call that is over here. */
  private onCallOver(session: Session, cause: EndCause): void {
    const { callId, callSid } = session.call;
    if (cause === 'moved' || cause === 'refused') return;
    if (cause === 'expired') {
      // Its socket never came here. Twilio may be about to ask for it anew: that is no caller who has hung up.
      this.writes.enqueue(callId, () => this.redisCalls.expire(callId, callSid));
      return;
    }
    const reason = DETACHING[cause];
    if (reason !== undefined) {
      const { call, decision } = session;
      if (decision !== undefined) {
        const until = this.clock.now() + DETACHED_MS;
        this.awaited.set(callId, { facts: factsOf(call, decision), token: call.token, reason, until });
      }
      this.writes.enqueue(callId, async () => {
        if (await this.redisCalls.detach(callId, callSid, reason)) return;
        if (await this.restore(session)) await this.redisCalls.detach(callId, callSid, reason);
      });
      return;
    }
    const { next } = this.switchboard;
    const said = callSid === undefined ? undefined : next.find(callSid);
    // Whoever asks after the call's end, here or elsewhere, is told the same.
    if (callSid !== undefined && said === undefined) next.set(callSid, createHangupTwiml());
    this.writes.enqueue(callId, async () => {
      if (await this.redisCalls.finish(callId, callSid, said ?? createHangupTwiml())) return;
      // Nobody hangs up a caller who was to go on somewhere, only because Redis came back empty.
      if (said !== undefined && (await this.restore(session)))
        await this.redisCalls.finish(callId, callSid, said);
    });
  }

  /** Says that our calls live, and writes down anew what Redis has lost of them. */
  private async renewLeases(): Promise<void> {
    const now = this.clock.now();
    for (const [callId, { until }] of this.awaited) if (until <= now) this.awaited.delete(callId);
    const sessions = this.switchboard.all.filter(
      ({ call, decision }) => call.state !== 'ended' && decision !== undefined,
    );
    for (let i = 0; i < sessions.length; i += BATCH) {
      try {
        await this.renewBatch(sessions.slice(i, i + BATCH));
      } catch (error) {
        if (isRegistryDown(error)) return;
        this.log.error({ err: error }, 'the registry could not be told of the calls');
      }
    }
  }

  private async renewBatch(sessions: readonly Session[]): Promise<void> {
    const byId = new Map(sessions.map((session) => [session.call.callId, session]));
    const { lost, taken } = await this.redisCalls.renew([...byId.keys()]);
    for (const callId of taken) byId.get(callId)?.call.end('moved');
    await Promise.all(
      lost.map(async (callId) => {
        const session = byId.get(callId) as Session;
        if (session.call.state !== 'ended') await this.restore(session);
      }),
    );
  }

  /** As {@link renewLeases}, of calls that no node has. */
  private async renewAwaited(): Promise<void> {
    const all = [...this.awaited.keys()];
    for (let i = 0; i < all.length; i += BATCH) {
      try {
        const { lost, taken } = await this.redisCalls.renew(all.slice(i, i + BATCH));
        for (const callId of taken) this.awaited.delete(callId);
        await Promise.all(lost.map((callId) => this.restoreAwaited(callId)));
      } catch (error) {
        if (isRegistryDown(error)) return;
        this.log.error({ err: error }, 'the registry could not be told of calls between two nodes');
      }
    }
  }

  private async restoreAwaited(callId: string): Promise<void> {
    const awaited = this.awaited.get(callId);
    if (awaited === undefined) return;
    const { facts, token, reason, until } = awaited;
    if (!(await this.redisCalls.restore(facts, token))) return;
    if (reason !== undefined) await this.redisCalls.detach(callId, facts.callSid, reason);
    else if (facts.callSid !== undefined) {
      await this.redisCalls.attach(callId, facts.callSid, token, Math.max(1, until - this.clock.now()));
    }
  }

  /** @returns whether the call is ours again */
  private async restore({ call, decision }: Session): Promise<boolean> {
    if (decision === undefined) return false;
    const facts = factsOf(call, decision);
    if (call.state !== 'ringing') return this.redisCalls.restore(facts, call.token);
    return this.redisCalls.announce(facts, call.token, Math.max(1, Math.ceil(-call.overdueMs)));
  }
}
