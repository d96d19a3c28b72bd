import type { Switchboard } from '../calls/switchboard.js';
import type { Clock } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import type { Cluster } from './cluster.js';
import { HandoverLimiter } from './handover-limiter.js';

/** Maximum wait per call, and the usual time a handover takes. */
const PATIENCE_MS = 2_000;
const USUAL_MS = 1_000;
/** How often a draining node looks for another node that accepts its calls. */
const LOOK_MS = 1_000;

/** Takes a node out of its fleet without hanging up on any caller. */
export class Drain {
  private readonly limiter: HandoverLimiter;

  constructor(
    private readonly switchboard: Switchboard,
    private readonly cluster: Cluster,
    private readonly log: Logger,
    private readonly clock: Clock,
    /**
     * Called, possibly more than once, when other nodes accept calls, so that new ones need not come here.
     */
    private readonly onRelieved: () => Promise<void>,
    /** Whether calls that this node ends can continue nowhere. */
    private readonly isLast: () => boolean = () => false,
  ) {
    this.limiter = new HandoverLimiter(PATIENCE_MS, clock);
  }

  /** The call continues on another node. */
  callSettled(callId: string): void {
    this.limiter.callSettled(callId);
  }

  /**
   * Rejects new calls, then hands the running ones to other nodes as soon as there is one, or waits for them
   * to end. After `graceMs` milliseconds the rest are closed, for any node to pick up.
   */
  async run(graceMs: number): Promise<void> {
    const { switchboard, limiter, clock } = this;
    const until = clock.now() + graceMs;
    switchboard.beginDrain();
    await this.cluster.heartbeat();
    await this.waitForPeers(until);
    const hurry = clock.after(Math.max(0, until - clock.now()), () => limiter.open());
    await this.handOver(until);
    await Promise.race([switchboard.webhooksAnswered(), limiter.opened]);
    await switchboard.placementsSettled();
    clock.cancel(hurry);
    this.endAll();
  }

  /** Closes all calls at once, for any node to pick up. */
  endAll(): void {
    this.switchboard.beginDrain();
    this.limiter.open();
    for (const { call, decision } of this.switchboard.all) {
      // An announced call can connect to any node. One without a decision is refused as busy.
      if (this.isLast()) call.end('drain');
      else if (call.state === 'ringing') call.end(decision === undefined ? 'drain' : 'moved');
      else call.end('handed-over');
    }
  }

  private async waitForPeers(until: number): Promise<void> {
    const { switchboard, cluster } = this;
    for (let looks = 0; switchboard.activeCalls > 0 && cluster.acceptingPeers.length === 0; looks++) {
      const left = until - this.clock.now();
      if (left <= 0) return;
      const graceMs = Math.round(left);
      if (looks === 0)
        this.log.info({ calls: switchboard.activeCalls, graceMs }, 'draining: no other node, waiting');
      await switchboard.idle(Math.min(left, LOOK_MS));
      await cluster.heartbeat();
    }
    if (cluster.acceptingPeers.length > 0) await this.onRelieved();
  }

  private async handOver(until: number): Promise<void> {
    const { cluster, limiter } = this;
    const sessions = this.switchboard.all;
    const calls = sessions.length;
    if (calls > 0) this.log.info({ calls, nodes: cluster.acceptingPeers.length }, 'draining: handing over');
    for (const { call, decision } of sessions) {
      if (call.state === 'ringing' && decision !== undefined) call.end(this.isLast() ? 'drain' : 'moved');
    }
    for (const [i, { call }] of sessions.entries()) {
      if (call.state === 'ended' || call.state === 'ringing') continue;
      if (cluster.acceptingPeers.length === 0) await this.waitForPeers(until);
      const leftMs = Math.max(1, until - this.clock.now());
      const least = Math.ceil(((calls - i) * USUAL_MS) / leftMs);
      if (cluster.acceptingPeers.length > 0) await limiter.enter(call.callId, least);
      call.end(this.isLast() ? 'drain' : 'handed-over');
    }
    await limiter.empty();
  }
}
