import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { EndCause } from '../calls/call.js';
import type { CallService, PlacedCall } from '../calls/call-service.js';
import type { CallView } from '../calls/call-view.js';
import { CALLBACK_KINDS, type CallbackKind } from '../calls/callbacks.js';
import type { Admission, CallDecision } from '../calls/decision.js';
import { checkDecision } from '../calls/decision-check.js';
import type { PlaceCallRequest } from '../calls/place-call.js';
import type { Apology, Session } from '../calls/session.js';
import type { SharedEntry, Switchboard } from '../calls/switchboard.js';
import { createToken } from '../calls/token.js';
import type { Clock } from '../clock.js';
import type { CallControlService } from '../control/call-control-service.js';
import { GatewayError } from '../errors.js';
import type { RecordingService } from '../recording/recordings.js';
import type { Logger } from '../telemetry/log.js';
import type { FormParameters } from '../twilio/form.js';
import { createAgainTwiml, createHangupTwiml, createRefusalTwiml } from '../twilio/twiml.js';
import { CallWebhookInput, isFinalStatus } from '../twilio/webhook.js';
import { detachedView, factsOf } from './call-facts.js';
import { Cluster, type NodeState } from './cluster.js';
import { Drain } from './drain.js';
import { FleetControl } from './fleet-control.js';
import { FleetRecordings } from './fleet-recordings.js';
import { LeaseKeeper } from './lease-keeper.js';
import { OwnerClient } from './owner-client.js';
import { isRegistryDown, isRegistryFault, type LinkEvents, type RegistryLink } from './redis.js';
import { type CallFacts, ENDED_NODE, type HandoverReason, RedisCallRegistry } from './redis-call-registry.js';
import { WriteQueue } from './write-queue.js';

export interface FleetOptions {
  /** Makes the link to the registry. */
  readonly link: (events: LinkEvents) => RegistryLink;
  /** Name of this node in logs and between nodes; a random suffix is added. */
  readonly nodeId: string;
  readonly switchboard: Switchboard;
  readonly recordings: RecordingService;
  readonly callControl: CallControlService;
  readonly log: Logger;
  /** Lifetime of a token in milliseconds. */
  readonly timeToLiveMs: number;
  readonly clock: Clock;
  /** Maximum silence of a live call, in milliseconds. */
  readonly stuckMs: number;
  /** What a caller hears who cannot be reconnected. */
  readonly apology: Apology;
  /** Whether another node is about to drain, too, although it may not say so yet; default no. */
  readonly isLeaving?: (node: string) => boolean;
  /** Whether calls that this node ends can continue nowhere; default no. */
  readonly isLast?: () => boolean;
  /**
   * Called, possibly more than once, when this node drains and others accept its calls; before the first
   * handover.
   */
  readonly onRelieved: () => Promise<void>;
}

/** A call that moved to another node. */
export interface Handover {
  readonly callId: string;
  readonly callSid: string | undefined;
  /** Names of the nodes. */
  readonly from: string;
  readonly to: string;
  readonly reason: HandoverReason;
}

interface FleetEvents {
  handover: [handover: Handover];
}

/** How long to wait for another node to notice this one. */
const LOOK_MS = 500;
/** Delays in seconds between Twilio's retries of a continuation request. */
const AGAIN_SECONDS = [1, 1, 2, 3, 4, 5, 5, 5, 5, 5];
/** How often a new caller is redirected, to whichever node the proxy picks. */
const MOST_TRIES = 3;
/** After this many failed connects, a call pauses before the next one. */
const PATIENT_RINGS = 3;
/** A hook decides within ten seconds. */
const ANSWERED_MS = 11_000;
/** A hang-up waits for Twilio's API. */
const HANG_UP_MS = 15_000;
/** A stream that lasted this long was healthy, whatever the silence limit. */
const CALM_MS = 60_000;

/**
 * One node of a fleet: any node can serve any request, and a call whose node fails continues on another node.
 * The nodes share state in Redis; running calls do not depend on it.
 */
export class Fleet extends EventEmitter<FleetEvents> implements CallService {
  /** Calls taken over so far, by reason. */
  readonly handovers = new Map<HandoverReason, number>([
    ['drain', 0],
    ['lost', 0],
  ]);
  readonly recordings: FleetRecordings;
  readonly control: FleetControl;
  private readonly redis: RegistryLink;
  private readonly redisCalls: RedisCallRegistry;
  private readonly cluster: Cluster;
  private readonly owner: OwnerClient;
  private readonly writes: WriteQueue;
  private readonly leases: LeaseKeeper;
  private readonly draining: Drain;
  private readonly switchboard: Switchboard;
  private readonly log: Logger;
  private isServing = false;

  constructor(private readonly options: FleetOptions) {
    super();
    const { link, nodeId, switchboard, recordings, log, clock, stuckMs } = options;
    const name = `${nodeId.replace(/[^\w.-]/g, '-').slice(0, 64)}-${randomUUID().slice(0, 8)}`;
    this.switchboard = switchboard;
    this.log = log;
    this.redis = link({
      onUp: () => {
        log.info({ node: name, kind: this.redis.kind }, 'registry up');
        void this.catchUp();
      },
      onDown: ({ reason }) => {
        this.cluster.registryLost();
        log.error(
          { cause: reason },
          `registry down: ${reason}; running calls continue, new ones are rejected`,
        );
      },
    });
    this.redisCalls = new RedisCallRegistry(this.redis, name, Math.max(CALM_MS, 2 * stuckMs));
    this.cluster = new Cluster(
      this.redis,
      name,
      () => ({
        calls: switchboard.activeCalls,
        // A node that does not listen yet must not be counted on.
        draining: switchboard.draining || !this.isServing,
        open: this.isServing && switchboard.admission.busyReason === undefined,
      }),
      (what, about) => this.reply(what, about),
      (error) => log.error({ err: error }, 'failed to handle a message from the registry or another node'),
      () => {
        log.warn('registry lost its data: calls are written again');
        void this.leases.catchUp();
      },
      clock,
      options.isLeaving,
    );
    this.writes = new WriteQueue((callId, error) =>
      log.error({ callId, err: error }, 'failed to write a call to the registry'),
    );
    this.leases = new LeaseKeeper(this.redisCalls, this.writes, switchboard, log, clock);
    this.draining = new Drain(switchboard, this.cluster, log, clock, options.onRelieved, options.isLast);
    this.owner = new OwnerClient(this.redisCalls, this.cluster);
    this.recordings = new FleetRecordings(recordings, switchboard, this.owner);
    this.control = new FleetControl(options.callControl, switchboard, this.owner);
  }

  /** This node's name in the fleet, different after every restart. */
  get node(): string {
    return this.redisCalls.node;
  }

  get isUp(): boolean {
    return this.redis.isUp;
  }

  /** Why the registry is down; `undefined` while it is up. */
  get cause(): string | undefined {
    return this.redis.fault?.reason;
  }

  /** Number of live nodes, including this one. */
  get size(): number {
    return this.cluster.alive.size;
  }

  /** Latest state of each live node by name, including this one. */
  get states(): ReadonlyMap<string, NodeState> {
    return this.cluster.alive;
  }

  /** Calls on all live nodes, by their latest heartbeat. */
  get calls(): number {
    let calls = 0;
    for (const node of this.cluster.alive.values()) calls += node.calls;
    return calls;
  }

  /**
   * Joins the fleet. Also succeeds while Redis is down, because it may come up later.
   * @throws GatewayError `GW_REDIS_REFUSED`
   */
  async open(): Promise<void> {
    this.cluster.open();
    await this.redis.open();
    if (this.redis.isUp) await this.cluster.heartbeat();
    this.leases.open();
  }

  /**
   * Tells the other nodes that this one listens; they know when this resolves. Before that, they would treat
   * calls whose sockets connect here as their own, and both nodes would report their start.
   */
  async serve(): Promise<void> {
    this.isServing = true;
    if (!this.redis.isUp) return;
    await this.cluster.heartbeat();
    const others = [...this.cluster.alive.keys()].filter((node) => node !== this.cluster.self);
    await Promise.allSettled(others.map((node) => this.cluster.request(node, 'look', {}, LOOK_MS)));
  }

  /** Leaves the fleet. */
  async close(): Promise<void> {
    await this.leases.close();
    await this.cluster.close();
    this.redis.close();
  }

  // Called by the routes:

  async answer(input: CallWebhookInput, publicBase: string, tries = 0): Promise<string> {
    const answered = this.switchboard.answered(input.callSid);
    if (answered !== undefined) return answered;
    const { admission, past } = this.switchboard;
    const hangup = this.switchboard.answerReplay(input);
    if (hangup !== undefined) return hangup;
    const closed = this.turnAway(publicBase, tries);
    if (closed !== undefined) return closed;
    try {
      const callId = randomUUID();
      let claim = await this.redisCalls.claim(input.callSid, callId);
      if (claim.callId !== callId) {
        const answer = await this.answerOf(claim.node, input);
        if (answer !== undefined) return answer;
        if (claim.node === ENDED_NODE) {
          past.add(input.callSid, false);
          const late = this.switchboard.answerReplay(input);
          if (late !== undefined) return late;
        }
        claim = await this.redisCalls.claim(input.callSid, callId, claim);
        if (claim.callId !== callId) return createRefusalTwiml('busy');
      }
      // Calls may have arrived while Redis was queried.
      const late = this.turnAway(publicBase, tries);
      if (late !== undefined) return late;
      return await this.switchboard.answerAs(callId, input, publicBase, this.entry());
    } catch (error) {
      if (!isRegistryFault(error)) throw error;
      // The registry may be unreachable from this node only.
      if (isRegistryDown(error) && tries < MOST_TRIES) return again(publicBase, tries);
      admission.noteRefused('registry');
      this.log.warn({ err: error }, 'call refused: the registry does not answer');
      return createRefusalTwiml('busy');
    }
  }

  /** TwiML for a caller this node cannot accept now; `undefined` if it can. */
  private turnAway(publicBase: string, tries: number): string | undefined {
    const { admission } = this.switchboard;
    if (admission.busyReason === undefined) return undefined;
    // Another node may have room: do not report busy for this one's sake.
    if (tries < MOST_TRIES && this.isUp && this.cluster.isAnyOpen) return again(publicBase, tries);
    admission.noteRefused(admission.busyReason);
    return createRefusalTwiml('busy');
  }

  /** Another node's earlier answer to the same webhook. */
  private async answerOf(
    node: string,
    { callSid, callStatus }: CallWebhookInput,
  ): Promise<string | undefined> {
    if (node === this.node) return this.switchboard.answered(callSid);
    const about = { callSid, callStatus };
    const answer = await this.cluster.request(node, 'answer', about, ANSWERED_MS).catch(noneIfGone);
    return typeof answer === 'string' ? answer : undefined;
  }

  async place(request: PlaceCallRequest, publicBase: string): Promise<PlacedCall> {
    if (!this.isUp) throw registryDown();
    const placed = await this.switchboard.place(request, publicBase, this.entry());
    this.writes.enqueue(placed.callId, () => this.redisCalls.bindSid(placed.callId, placed.callSid));
    return placed;
  }

  async connect(callId: string, token: string): Promise<Session> {
    if (this.switchboard.draining) {
      throw new GatewayError('GW_DRAINING', 'The gateway is shutting down');
    }
    const taken = await this.redisCalls.claimToken(callId, token).catch((error) => {
      // A call registered by the user is known to this node only.
      if (isCode(error, 'GW_CALL_UNKNOWN') && this.switchboard.has(callId)) return undefined;
      throw error;
    });
    if (taken === undefined) return this.switchboard.connect(callId, token);
    this.leases.forget(callId);
    const { facts, from, last, handover } = taken;
    if (from !== this.node) this.cluster.notify(from, 'moved', { callId });
    const session = this.switchboard.takeRinging(callId) ?? this.adopt(facts, handover !== undefined);
    if (facts.callSid === undefined) this.learnSid(session);
    // A call that rang on several nodes before it connected was not handed over.
    if (handover !== undefined && last !== undefined) this.noteHandover(session, last, handover);
    return session;
  }

  /**
   * The room that a call joins; `undefined` for an unknown call, and one that joins none.
   * @throws GatewayError `GW_REGISTRY_DOWN`, `GW_REGISTRY_ERROR` (503)
   */
  async roomOf(callId: string): Promise<string | undefined> {
    const { switchboard } = this;
    const here = switchboard.session(callId);
    if (here?.decision !== undefined) return switchboard.roomOf(here.decision, here.call);
    const facts = (await this.redisCalls.read(callId))?.facts;
    return facts && switchboard.roomOf(decisionOf(facts), facts);
  }

  /**
   * Hands a call over so that it continues in another room, at the node that gets its next socket.
   * @throws GatewayError as `Session.handOverTo`
   */
  async handOverTo(session: Session, place: Pick<Admission, 'room' | 'streamCall'>): Promise<void> {
    await session.handOverTo(place, () => this.leases.write(session));
  }

  /** Whether another node accepts calls. */
  get hasAcceptingPeers(): boolean {
    return this.cluster.acceptingPeers.length > 0;
  }

  async continueCall(input: CallWebhookInput, publicBase: string, tries: number): Promise<string> {
    const { callSid } = input;
    const known = this.switchboard.next.find(callSid);
    if (known !== undefined) return known;
    try {
      const claim = await this.redisCalls.find(callSid);
      // An unknown call ended long ago, or was never ours.
      if (claim === undefined) {
        await this.requireAll();
        return createHangupTwiml();
      }
      return await this.continueHere(claim.callId, callSid, publicBase);
    } catch (error) {
      if (!isRegistryFault(error)) throw error;
      const seconds = AGAIN_SECONDS[tries];
      if (seconds === undefined) return createRefusalTwiml(this.options.apology);
      this.log.warn({ callSid, seconds, err: error }, 'the registry does not answer: asking Twilio to retry');
      return createAgainTwiml(`${publicBase}/twilio/next?again=${tries + 1}`, seconds);
    }
  }

  private async continueHere(callId: string, callSid: string, publicBase: string): Promise<string> {
    const entry = await this.redisCalls.read(callId);
    if (entry?.state === 'live') {
      // Twilio knows best that the stream is over; its node may know what comes next.
      const next = await this.releaseAt(entry.node, callId, callSid);
      if (next !== undefined) return next;
    }
    const token = createToken();
    const attachment = await this.redisCalls.attach(callId, callSid, token, this.options.timeToLiveMs);
    if (attachment.attached) {
      const { facts, rings, rangAt } = attachment;
      this.leases.awaitSocket(facts, token, this.options.timeToLiveMs);
      // The previous token's socket is not coming any more.
      if (rangAt === this.node) this.switchboard.session(callId)?.call.keepRinging(this.options.timeToLiveMs);
      else if (rangAt !== undefined) this.cluster.notify(rangAt, 'moved', { callId });
      // When nodes reject the sockets, the proxy needs a moment to notice.
      const before = rings > PATIENT_RINGS ? [{ pause: 1 }] : [];
      return this.switchboard.streamTwiml({ callId, token }, decisionOf(facts), publicBase, before);
    }
    if (attachment.why === 'unknown') await this.requireAll();
    if (attachment.why !== 'exhausted') return attachment.next ?? createHangupTwiml();
    this.log.error({ callId, callSid }, 'call handed over too often');
    this.writes.enqueue(callId, () => this.redisCalls.finish(callId, callSid, '', true));
    return createRefusalTwiml(this.options.apology);
  }

  /**
   * Confirms that an unknown call ended long ago, or was never ours.
   * @throws GatewayError `GW_REGISTRY_DOWN` if the registry has lost the call, or may have; its node may
   *   restore it
   */
  private async requireAll(): Promise<void> {
    // It may have been emptied just now.
    await this.cluster.heartbeat();
    if (!this.cluster.knowsAll) throw registryDown();
  }

  /** Makes a node release a call whose stream has ended. Returns the continuation, if one is set. */
  private async releaseAt(node: string, callId: string, callSid: string): Promise<string | undefined> {
    if (node === this.node) return this.release(callId, callSid);
    const next = await this.cluster.request(node, 'next', { callId, callSid }).catch(noneIfGone);
    return typeof next === 'string' ? next : undefined;
  }

  async handleCallback(
    kind: CallbackKind,
    input: CallWebhookInput,
    callId: string | undefined,
  ): Promise<void> {
    if (this.switchboard.handleCallback(kind, input, callId)) return;
    try {
      const id = callId ?? (await this.redisCalls.find(input.callSid))?.callId;
      const entry = id === undefined ? undefined : await this.redisCalls.read(id);
      if (id === undefined || entry === undefined || entry.state === 'ended') return;
      const about = { kind, parameters: input.parameters, callId };
      const isKnown = await this.cluster.request(entry.node, 'note', about).catch(noneIfGone);
      // Between two nodes nobody holds the call; a caller who hung up must not be reconnected.
      if (isKnown !== true && kind === 'status' && isFinalStatus(input.callStatus)) {
        await this.redisCalls.finish(id, input.callSid, '', true);
      }
    } catch (error) {
      if (!isRegistryFault(error)) throw error;
      this.log.warn({ kind, callSid: input.callSid, err: error }, 'failed to forward a callback');
    }
  }

  async list(): Promise<CallView[]> {
    const lists = await Promise.all(
      [...this.cluster.alive.keys()].map(async (node) => {
        if (node === this.node) return this.switchboard.list();
        return ((await this.cluster.request(node, 'list', {}).catch(noneIfAway)) ?? []) as CallView[];
      }),
    );
    return lists.flat();
  }

  async inspect(callId: string): Promise<CallView> {
    if (this.switchboard.has(callId)) return this.switchboard.inspect(callId);
    const found = await this.owner.request(callId, 'inspect', {});
    return found.answer === undefined ? detachedView(found.facts) : (found.answer as CallView);
  }

  async hangUp(callId: string): Promise<CallView> {
    if (this.switchboard.has(callId)) return this.switchboard.hangUp(callId);
    const found = await this.owner.request(callId, 'hangUp', {}, HANG_UP_MS);
    if (found.answer !== undefined) return found.answer as CallView;
    const { facts } = found;
    await this.redisCalls.finish(callId, facts.callSid, '', true);
    await this.switchboard.hangUpAtTwilio(facts);
    return { ...detachedView(facts), state: 'ended', endCause: 'hangup' };
  }

  // Called by other nodes:

  private async reply(what: string, about: Readonly<Record<string, unknown>>): Promise<unknown> {
    const callId = String(about.callId ?? '');
    const ofRecording = this.recordings.reply(what, callId, about);
    if (ofRecording !== undefined) return ofRecording;
    const ofControl = this.control.reply(what, callId, about);
    if (ofControl !== undefined) return ofControl;
    switch (what) {
      case 'answer': {
        const { callSid, callStatus } = about;
        const answer = await this.switchboard.answered(String(callSid));
        if (answer !== undefined || callStatus === undefined) return answer ?? null;
        const retryTwiml = { CallSid: String(callSid), CallStatus: String(callStatus) };
        return this.switchboard.answerReplay(new CallWebhookInput(retryTwiml)) ?? null;
      }
      case 'look':
        await this.cluster.heartbeat();
        return true;
      case 'next':
        return this.release(callId, String(about.callSid)) ?? null;
      case 'moved':
        this.leases.forget(callId);
        // A late message must not end a call that has since returned to this node.
        if (this.switchboard.session(callId)?.call.state === 'ringing') this.end(callId, 'moved');
        return true;
      case 'settled':
        this.leases.forget(callId);
        this.draining.callSettled(callId);
        return true;
      case 'note': {
        const input = new CallWebhookInput(about.parameters as FormParameters);
        const kind = CALLBACK_KINDS.find((each) => each === about.kind);
        return (
          kind !== undefined &&
          this.switchboard.handleCallback(kind, input, callId === '' ? undefined : callId)
        );
      }
      case 'list':
        return this.switchboard.list();
      case 'inspect':
        return this.switchboard.inspect(callId);
      case 'hangUp':
        return this.switchboard.hangUp(callId);
      default:
        throw new GatewayError('GW_QUESTION_UNKNOWN', `Another node sent an unknown request: ${what}`);
    }
  }

  /** Releases a call whose stream has ended, unless it has a continuation. */
  private release(callId: string, callSid: string): string | undefined {
    const next = this.switchboard.next.find(callSid);
    if (next === undefined) this.end(callId, 'handed-over');
    return next;
  }

  private end(callId: string, cause: EndCause): void {
    this.switchboard.session(callId)?.call.end(cause);
  }

  // Calls of this node:

  private entry(): SharedEntry {
    return {
      isDormant: this.cluster.acceptingPeers.length > 0,
      announce: async (call, decision) => {
        // Longer if the phone rings for long, or plays something first.
        const timeToLiveMs = Math.max(this.options.timeToLiveMs, Math.ceil(-call.overdueMs));
        try {
          if (await this.redisCalls.announce(factsOf(call, decision), call.token, timeToLiveMs)) return;
        } catch (error) {
          const isCaller = call.direction !== 'outbound-api';
          if (isCaller && isRegistryFault(error)) this.switchboard.admission.noteRefused('registry');
          throw error;
        }
        throw new GatewayError('GW_CALL_EXISTS', `Call id ${call.callId} is already in use`);
      },
    };
  }

  private adopt(facts: CallFacts, isContinued: boolean): Session {
    return this.switchboard.adopt({
      ...facts,
      webhook: facts.webhook && new CallWebhookInput(facts.webhook),
      decision: decisionOf(facts),
      startedAt: new Date(facts.startedAt),
      isContinued,
    });
  }

  /** The callee answered before Twilio responded to the node that placed the call. */
  private learnSid({ call, stream }: Session): void {
    stream.once('start', ({ callSid }) => {
      this.writes.enqueue(call.callId, () => this.redisCalls.bindSid(call.callId, callSid));
    });
  }

  private noteHandover({ call, joined }: Session, from: string, reason: HandoverReason): void {
    const { callId, callSid } = call;
    void joined.then(() => this.cluster.notify(from, 'settled', { callId }));
    this.handovers.set(reason, (this.handovers.get(reason) ?? 0) + 1);
    this.log.info({ callId, callSid, from, reason }, 'call taken over');
    this.emit('handover', { callId, callSid, from, to: this.node, reason });
  }

  /** Redis is back, possibly without its data. */
  private async catchUp(): Promise<void> {
    await this.cluster.heartbeat();
    await this.leases.catchUp();
  }

  /** Hands this node's calls to the others, see {@link Drain.run}. */
  async drain(graceMs: number): Promise<void> {
    await this.draining.run(graceMs);
    await this.writes.settled();
  }

  /** Like {@link drain}, but at once. */
  async endAll(): Promise<void> {
    this.draining.endAll();
    await this.switchboard.placementsSettled();
    await this.writes.settled();
  }
}

/** Makes Twilio retry, which a proxy sends to the next node. */
function again(publicBase: string, tries: number): string {
  return createAgainTwiml(`${publicBase}/twilio/voice?again=${tries + 1}`);
}

/** @throws GatewayError `GW_REGISTRY_ERROR` (503) for a decision of an incompatible version */
function decisionOf({ callId, decision }: CallFacts): CallDecision {
  try {
    return checkDecision(decision);
  } catch (cause) {
    const message = `The registry holds an invalid decision for call ${callId}`;
    throw new GatewayError('GW_REGISTRY_ERROR', message, { cause });
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof GatewayError && error.code === code;
}

/** Ignores the error that the requested node is gone; rethrows any other. */
function noneIfGone(error: unknown): undefined {
  if (!isCode(error, 'GW_NODE_GONE')) throw error;
}

/** Like {@link noneIfGone}, but also ignores that the registry is down. */
function noneIfAway(error: unknown): undefined {
  if (!isRegistryFault(error)) noneIfGone(error);
}

function registryDown(): GatewayError {
  return new GatewayError('GW_REGISTRY_DOWN', 'The registry is unavailable');
}
