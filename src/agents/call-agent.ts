import { Filler } from '../bridge/filler.js';
import type { AgentState } from '../calls/agent-state.js';
import type { AgentChoice, PhoneCall } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import type { Clock, Timer } from '../clock.js';
import { ClipPlayer } from '../control/clip.js';
import type { Clips } from '../control/clips.js';
import type { GatewayError } from '../errors.js';
import type { CallFacts } from '../legs/leg-messages.js';
import type { LegRate } from '../legs/leg-rate.js';
import type { Legs } from '../legs/legs.js';
import { MAX_BUFFER_MS, type RawLeg } from '../legs/raw-leg.js';
import type { FrameClock } from '../media/frame-clock.js';
import type { Logger } from '../telemetry/log.js';
import type { AgentEndpoint } from './agent-endpoint.js';
import { AgentLink, type AgentLinkListener } from './agent-link.js';

/** A caller hears the first ring after so long without an agent: most are quicker. */
const RING_AFTER_MS = 400;
/** Longest caller's name in the facts. */
const MAX_NAME = 128;

/** How the log calls a failure of this kind. */
export const NO_AGENT = 'the call has no agent';

/** How the agent of a call is reached, and what is heard until it answers. */
export interface AgentPlan {
  readonly endpoint: AgentEndpoint;
  readonly rates: { readonly rate: LegRate; readonly sendRate: LegRate };
  /** `ringback`, `silence`, or a file in `PLAY_DIR`. */
  readonly ring: string;
  readonly parameters: AgentChoice['parameters'];
}

/** What the agents of a gateway share. */
export interface CallAgentContext {
  readonly legs: Legs;
  readonly clips: Clips;
  readonly clock: Clock;
  readonly frameClock: FrameClock;
  readonly log: Logger;
  /** Whether an agent may transfer a caller to a number. */
  readonly mayTransfer: (to: string) => boolean;
  /** Tells others of a change. */
  readonly publish: (call: PhoneCall, state: AgentState) => void;
  /** Counts what happens. @param ms how long it took */
  readonly note: (what: AgentNote, ms?: number) => void;
}

export const AGENT_NOTES = ['taken', 'missed', 'lost', 'failed'] as const;
/** An agent took a call, missed a try, was lost, or there was none in the end. */
export type AgentNote = (typeof AGENT_NOTES)[number];

/** One call's agent: its leg in the call's room, the link to it, and what the caller hears until it answers. */
export class CallAgent implements AgentLinkListener {
  private leg: RawLeg | undefined;
  private link: AgentLink | undefined;
  private readonly filler: Filler;
  private ringing: Timer | undefined;
  private isAnswered: boolean;
  private isContinued = false;
  private hasLeft = false;

  constructor(
    private readonly session: Session,
    private readonly plan: AgentPlan,
    private readonly context: CallAgentContext,
  ) {
    this.filler = new Filler(session, context.clock, context.frameClock);
    this.isAnswered = session.isLive;
  }

  /** Whether the agent has the call now. */
  get isUp(): boolean {
    return this.link?.isUp === true;
  }

  /**
   * Joins the call's room and dials.
   * @param isContinued whether another node had the call before
   */
  async begin(isContinued: boolean): Promise<void> {
    const { legs, clock, mayTransfer } = this.context;
    const { room } = this.session;
    this.isContinued = isContinued;
    let connection = 1;
    const leg = await legs.dial({
      ...this.plan.rates,
      room,
      // Models send a long answer at once.
      bufferMs: MAX_BUFFER_MS,
      onlyListens: false,
      mayTransfer,
      call: () => this.facts(connection),
    });
    // The call may have ended, or moved to another room.
    if (this.hasLeft || this.session.room !== room) {
      this.hasLeft = true;
      leg.close(1000, '');
      return;
    }
    const facts = (count: number) => {
      connection = count;
      return this.facts(count);
    };
    const { endpoint } = this.plan;
    const link = new AgentLink(leg, { endpoint, clock, facts, isContinued, listener: this });
    this.leg = leg;
    this.link = link;
    legs.open(leg, link);
    link.dial();
    if (this.isAnswered) this.wait();
  }

  /** Somebody is on the phone. */
  answered(): void {
    this.isAnswered = true;
    if (this.link !== undefined) this.wait();
  }

  /** Whether the call is still in the room that the agent joined. */
  get isInRoom(): boolean {
    return this.leg === undefined || this.leg.options.room === this.session.room;
  }

  /** The call has ended or went elsewhere. Idempotent. */
  leave(code = 1000, reason = 'the call has ended'): void {
    if (this.hasLeft) return;
    this.hasLeft = true;
    this.stopRinging();
    this.leg?.close(code, reason);
  }

  // What the link reports:

  taken(connection: number, afterMs: number): void {
    this.stopRinging();
    const { log, note } = this.context;
    note('taken', afterMs);
    const { call } = this.session;
    const facts = { agent: this.plan.endpoint.name, connection, afterMs: Math.round(afterMs) };
    log.info(
      { callId: call.callId, ...facts },
      connection === 1 ? 'agent took the call' : 'agent took the call again',
    );
    this.publish({ state: 'connected', connection, afterMs: facts.afterMs });
  }

  lost(reason: string): void {
    this.context.note('lost');
    this.warn('lost the agent', { reason });
    this.publish({ state: 'lost', reason });
  }

  missed(error: GatewayError): void {
    this.context.note('missed');
    this.warn('agent did not take the call', { code: error.code, reason: error.message });
  }

  failed(error: GatewayError): void {
    this.context.note('failed');
    this.publish({ state: 'failed', reason: error.message });
    this.leave(1001, 'no agent');
    this.session.fail(error, NO_AGENT);
  }

  finished(): void {
    const { callId } = this.session.call;
    this.context.log.info({ callId, agent: this.plan.endpoint.name }, 'agent finished the call');
    if (this.hasCompany) this.leg?.disconnected();
    else this.leg?.finished(callId);
  }

  /** Whether other callers are in the room: they neither hear ringback nor need the agent. */
  private get hasCompany(): boolean {
    const { callId } = this.session.call;
    return this.leg?.phones.some((phone) => phone !== callId) === true;
  }

  private wait(): void {
    const { clock } = this.context;
    this.link?.answered();
    if (this.link?.isUp || this.isContinued) return;
    this.ringing = clock.after(RING_AFTER_MS, () => {
      if (!this.isUp) void this.ring();
    });
  }

  private async ring(): Promise<void> {
    const { ring } = this.plan;
    if (ring === 'silence' || this.hasCompany) return;
    const sound = ring === 'ringback' ? ring : await this.musicOf(ring);
    if (!this.isUp && !this.hasLeft) this.filler.play(sound);
  }

  private async musicOf(file: string) {
    try {
      return new ClipPlayer(await this.context.clips.get(file), Number.POSITIVE_INFINITY);
    } catch (error) {
      this.warn('cannot read what a caller hears until the agent answers', { err: error });
      return 'ringback';
    }
  }

  private stopRinging(): void {
    this.context.clock.cancel(this.ringing);
    this.filler.play(undefined);
  }

  private publish(state: Omit<AgentState, 'agent'>): void {
    this.context.publish(this.session.call, { agent: this.plan.endpoint.name, ...state });
  }

  private warn(what: string, facts: object): void {
    const { callId } = this.session.call;
    this.context.log.warn({ callId, agent: this.plan.endpoint.name, ...facts }, what);
  }

  private facts(connection: number): CallFacts {
    const { call, room } = this.session;
    const { callId, callSid, accountSid, direction, from, to, startedAt } = call;
    const callerName = shortened(call.webhookData?.callerName);
    const whose = { callId, callSid, accountSid, direction, from, to, callerName };
    const { parameters } = this.plan;
    return { ...whose, room, startedAt: startedAt.toISOString(), connection, parameters };
  }
}

/** A name that is not too long, and never cut within a character. */
function shortened(name: string | undefined): string | undefined {
  return name?.slice(0, MAX_NAME).replace(/[\ud800-\udbff]$/, '');
}
