import type { EndCause } from '../calls/call.js';
import type { Session } from '../calls/session.js';
import type { Switchboard } from '../calls/switchboard.js';
import type { Clock, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
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

/** Interval between renewals; an entry's lease is several times as long. */
const KEEP_MS = 15_000;
const BATCH = 100;
/**
 * A detached call is restored this much later than live ones, so that a node that has taken it writes first.
 */
const PATIENCE_MS = 1_000;

/** After these causes the caller is still on the line, as far as we know. */
const DETACHING: Readonly<Partial<Record<EndCause, HandoverReason>>> = {
  'handed-over': 'drain',
  'socket-closed': 'lost',
  silent: 'lost',
};

/**
 * A call no node holds until its next socket connects: only the registry and the node that wrote it know
 * about it.
 */
interface Awaited {
  readonly facts: CallFacts;
  readonly token: string;
  /** Why it waits for a continuation request; undefined if it rings. */
  readonly reason?: HandoverReason;
  /** Monotonic milliseconds. */
  readonly until: number;
}

/** Keeps the registry entries of this node's calls up to date, and restores them if Redis loses its data. */
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
    // The node that takes over the call must see its current state.
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

  /** Stops; resolves when all pending writes are done. */
  async close(): Promise<void> {
    this.clock.cancel(this.timer);
    await this.writes.settled();
    this.writes.clear();
  }

  /** Retries failed writes and renews the leases. */
  async catchUp(): Promise<void> {
    await this.writes.catchUp();
    await this.renewLeases();
    if (this.awaited.size > 0) this.clock.after(PATIENCE_MS, () => void this.renewAwaited()).unref();
  }

  /** A call got a token from this node and rings on no node. */
  awaitSocket(facts: CallFacts, token: string, forMs: number): void {
    this.awaited.set(facts.callId, { facts, token, until: this.clock.now() + forMs });
  }

  /** Another node has the call, or this one holds it live. */
  forget(callId: string): void {
    this.awaited.delete(callId);
  }

  /** Updates the registry when a call is over on this node. */
  private onCallOver(session: Session, cause: EndCause): void {
    const { callId, callSid } = session.call;
    if (cause === 'moved' || cause === 'refused') return;
    if (cause === 'expired') {
      // Its socket never connected here. Twilio may be about to retry, so the caller has not hung up.
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
    // A later continuation request, here or on another node, gets the same answer.
    if (callSid !== undefined && said === undefined) next.set(callSid, createHangupTwiml());
    this.writes.enqueue(callId, async () => {
      if (await this.redisCalls.finish(callId, callSid, said ?? createHangupTwiml())) return;
      // Do not hang up on a caller with a continuation just because Redis lost its data.
      if (said !== undefined && (await this.restore(session)))
        await this.redisCalls.finish(callId, callSid, said);
    });
  }

  /** Renews the leases of this node's calls and restores the entries Redis has lost. */
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
        this.log.error({ err: error }, 'failed to renew calls in the registry');
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

  /** Like {@link renewLeases}, for calls that no node holds. */
  private async renewAwaited(): Promise<void> {
    const all = [...this.awaited.keys()];
    for (let i = 0; i < all.length; i += BATCH) {
      try {
        const { lost, taken } = await this.redisCalls.renew(all.slice(i, i + BATCH));
        for (const callId of taken) this.awaited.delete(callId);
        await Promise.all(lost.map((callId) => this.restoreAwaited(callId)));
      } catch (error) {
        if (isRegistryDown(error)) return;
        this.log.error({ err: error }, 'failed to renew calls between two nodes in the registry');
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

  /**
   * Writes a call of this node as it is now.
   * @throws GatewayError `GW_REGISTRY_DOWN`, `GW_REGISTRY_ERROR` (503); `GW_CALL_MOVING` (409) if another node has it
   */
  async write(session: Session): Promise<void> {
    if (await this.restore(session)) return;
    const message = `Call ${session.call.callId} is moving to another node; retry in a second`;
    throw new GatewayError('GW_CALL_MOVING', message);
  }

  /** @returns whether this node owns the call again */
  private async restore({ call, decision }: Session): Promise<boolean> {
    if (decision === undefined) return false;
    const facts = factsOf(call, decision);
    if (call.state !== 'ringing') return this.redisCalls.restore(facts, call.token);
    return this.redisCalls.announce(facts, call.token, Math.max(1, Math.ceil(-call.overdueMs)));
  }
}
