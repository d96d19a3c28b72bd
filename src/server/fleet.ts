import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { EndCause } from '../calls/call.js';
import { type CallFacts, type HandoverReason, Ledger } from '../calls/fleet/ledger.js';
import { Nodes } from '../calls/fleet/nodes.js';
import { RedisLink } from '../calls/fleet/redis.js';
import { createToken } from '../calls/token.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { createAgainTwiml, createHangupTwiml, createRefusalTwiml } from '../twilio/twiml.js';
import { CallWebhookInput, type FormParameters, isFinalStatus } from '../twilio/webhook.js';
import type { CallService, PlacedCall } from './call-service.js';
import type { CallView } from './call-view.js';
import type { CallDecision, PhoneCall } from './decision.js';
import { HandoverWindow } from './handover-window.js';
import type { PlaceCallRequest } from './place-call.js';
import type { RecordingResult } from './recording.js';
import {
  checkRecordRequest,
  type RecordingService,
  type RecordingView,
  type RecordRequest,
} from './recordings.js';
import type { Apology, Session } from './session.js';
import type { SharedEntry, Switchboard } from './switchboard.js';

export interface FleetOptions {
  /** `redis://…` or `rediss://…` */
  readonly redisUrl: string;
  /** What this node is called in logs and questions; a random part is added. */
  readonly nodeId: string;
  readonly switchboard: Switchboard;
  readonly recordings: RecordingService;
  readonly log: Logger;
  /** Life of a token in milliseconds. */
  readonly timeToLiveMs: number;
  /** What a caller hears who can not be connected again. */
  readonly apology: Apology;
}

/** A call went on at another node than before. */
export interface Handover {
  readonly callId: string;
  readonly callSid: string | undefined;
  /** Nodes by their names. */
  readonly from: string;
  readonly to: string;
  readonly reason: HandoverReason;
}

interface FleetEvents {
  handover: [handover: Handover];
}

/** A live call's entry is kept alive this often; it lives several times as long. */
const KEEP_MS = 15_000;
const KEEP_BATCH = 100;
/** Calls handed over at a time, and how long each is waited for. */
const HANDOVERS_AT_ONCE = 4;
const HANDOVER_PATIENCE_MS = 2_000;
/** How often a node that waits for its calls looks for another that would take them. */
const LOOK_MS = 1_000;
/** Twilio is told to ask again so often, after so many seconds each. */
const AGAIN_SECONDS = [1, 1, 2, 3, 4, 5, 5, 5, 5, 5];
/** A call that was refused so often waits a moment before it tries again. */
const PATIENT_RINGS = 3;
/** A hang-up waits for Twilio's own answer. */
const HANG_UP_MS = 15_000;
/** Another node's disk may be slow. */
const RECORDING_MS = 10_000;

/** After these the caller is still there, as far as we know. */
const DETACHING: Readonly<Partial<Record<EndCause, HandoverReason>>> = {
  'handed-over': 'drain',
  'socket-closed': 'lost',
  silent: 'lost',
};

/**
 * One node of a fleet: every request may come to any of them, and a call whose node goes away goes on at another. What
 * the nodes share is on Redis; running calls need none of it.
 */
export class Fleet extends EventEmitter<FleetEvents> implements CallService, RecordingService {
  /** Calls taken over so far, by reason. */
  readonly handovers = new Map<HandoverReason, number>([
    ['drain', 0],
    ['lost', 0],
  ]);
  private readonly redis: RedisLink;
  private readonly ledger: Ledger;
  private readonly nodes: Nodes;
  private readonly switchboard: Switchboard;
  private readonly log: Logger;
  /** What the ledger could not be told: the latest of each call. */
  private readonly unsaid = new Map<string, () => Promise<unknown>>();
  private readonly leaving = new HandoverWindow(HANDOVERS_AT_ONCE, HANDOVER_PATIENCE_MS);
  private readonly writing = new Set<Promise<unknown>>();
  private keeper: NodeJS.Timeout | undefined;

  constructor(private readonly options: FleetOptions) {
    super();
    const { redisUrl, nodeId, switchboard, log } = options;
    this.switchboard = switchboard;
    this.log = log;
    this.redis = new RedisLink({
      url: redisUrl,
      onUp: () => {
        log.info({ node: this.node }, 'registry up');
        void this.catchUp();
      },
      onDown: (error) =>
        log.error({ err: error }, 'registry down: running calls go on, new ones are refused'),
    });
    this.ledger = new Ledger(
      this.redis,
      `${nodeId.replace(/[^\w.-]/g, '-').slice(0, 64)}-${randomUUID().slice(0, 8)}`,
    );
    this.nodes = new Nodes(
      this.redis,
      this.node,
      () => ({ calls: switchboard.activeCalls, draining: switchboard.draining }),
      (what, about) => this.reply(what, about),
    );
    switchboard.on('over', (call, cause) => this.over(call, cause));
  }

  /** This node's name in the fleet: never the same again after a restart. */
  get node(): string {
    return this.ledger.node;
  }

  get isUp(): boolean {
    return this.redis.isUp;
  }

  /** Nodes that live, this one among them. */
  get size(): number {
    return this.nodes.alive.size;
  }

  /** Calls of all nodes that live, as of their latest word. */
  get calls(): number {
    let calls = 0;
    for (const node of this.nodes.alive.values()) calls += node.calls;
    return calls;
  }

  /**
   * Joins the fleet; also where Redis is away, for it may come later.
   * @throws GatewayError `GW_REDIS_REFUSED`
   */
  async open(): Promise<void> {
    this.nodes.open();
    await this.redis.open();
    if (this.redis.isUp) await this.nodes.beat();
    else this.log.error('registry down: Redis did not answer; new calls are refused until it does');
    this.keeper = setInterval(() => void this.keep(), KEEP_MS);
    this.keeper.unref();
  }

  /** Leaves the fleet. */
  async close(): Promise<void> {
    clearInterval(this.keeper);
    await Promise.allSettled(this.writing);
    await this.nodes.close();
    this.redis.close();
    this.unsaid.clear();
  }

  // What the routes ask:

  async answer(input: CallWebhookInput, publicBase: string): Promise<string> {
    const answered = this.switchboard.answered(input.callSid);
    if (answered !== undefined) return answered;
    if (this.switchboard.admission.refuse() !== undefined) return createRefusalTwiml('busy');
    try {
      const callId = randomUUID();
      let claim = await this.ledger.claim(input.callSid, callId);
      if (claim.callId !== callId) {
        const answer = await this.answerOf(claim.node, input.callSid);
        if (answer !== undefined) return answer;
        claim = await this.ledger.claim(input.callSid, callId, claim);
        if (claim.callId !== callId) return createRefusalTwiml('busy');
      }
      return await this.switchboard.answerAs(callId, input, publicBase, this.entry());
    } catch (error) {
      return this.refuseNew(error);
    }
  }

  /** What another node answered the same webhook before. */
  private async answerOf(node: string, callSid: string): Promise<string | undefined> {
    if (node === this.node) return this.switchboard.answered(callSid);
    const answer = await this.nodes.ask(node, 'answer', { callSid }).catch(ifGone);
    return typeof answer === 'string' ? answer : undefined;
  }

  async place(request: PlaceCallRequest, publicBase: string): Promise<PlacedCall> {
    if (!this.isUp) throw registryDown();
    const placed = await this.switchboard.place(request, publicBase, this.entry());
    this.write(placed.callId, () => this.ledger.bindSid(placed.callId, placed.callSid));
    return placed;
  }

  async connect(callId: string, token: string): Promise<Session> {
    if (this.switchboard.draining) {
      throw new GatewayError(
        'GW_DRAINING',
        'Expected a gateway that takes calls for a new call but received one that is shutting down',
        { status: 503 },
      );
    }
    const taken = await this.ledger.take(callId, token).catch((error) => {
      // A call that was registered by hand is known to nobody else.
      if (codeOf(error) === 'GW_CALL_UNKNOWN' && this.switchboard.has(callId)) return undefined;
      throw error;
    });
    if (taken === undefined) return this.switchboard.connect(callId, token);
    const { facts, from, last, handover } = taken;
    if (from !== this.node) this.nodes.tell(from, 'moved', { callId });
    const session = this.switchboard.takeRinging(callId) ?? this.adopt(facts, handover !== undefined);
    if (facts.callSid === undefined) this.learnSid(session);
    // A call that rang at several nodes before it was connected changed none of them.
    if (handover !== undefined && last !== undefined) this.noteHandover(session, last, handover);
    return session;
  }

  async goOn(input: CallWebhookInput, publicBase: string, tries: number): Promise<string> {
    const { callSid } = input;
    const known = this.switchboard.next.find(callSid);
    if (known !== undefined) return known;
    try {
      const claim = await this.ledger.find(callSid);
      // A call of which nothing is known has ended long ago, or never was one of ours.
      if (claim === undefined) return createHangupTwiml();
      return await this.goOnWith(claim.callId, callSid, publicBase);
    } catch (error) {
      if (!isAway(error)) throw error;
      const seconds = AGAIN_SECONDS[tries];
      if (seconds === undefined) return createRefusalTwiml(this.options.apology);
      this.log.warn({ callSid, seconds, err: error }, 'the registry is down: Twilio is to ask again');
      return createAgainTwiml(`${publicBase}/twilio/next?again=${tries + 1}`, seconds);
    }
  }

  private async goOnWith(callId: string, callSid: string, publicBase: string): Promise<string> {
    const entry = await this.ledger.read(callId);
    if (entry?.state === 'live') {
      // Twilio has the last word on whether a stream is over; its node may know why it was meant to be.
      const next = await this.letGo(entry.node, callId, callSid);
      if (next !== undefined) return next;
    }
    const token = createToken();
    const attachment = await this.ledger.attach(callId, callSid, token, this.options.timeToLiveMs);
    if (attachment.attached) {
      const { facts, rings } = attachment;
      // Sockets that come to nodes which refuse them need a proxy that learns of it: that takes a while.
      const before = rings > PATIENT_RINGS ? [{ pause: 1 }] : [];
      const decision = facts.decision as CallDecision;
      return this.switchboard.streamTwiml({ callId, token }, decision, publicBase, before);
    }
    if (attachment.why !== 'exhausted') return attachment.next ?? createHangupTwiml();
    this.log.error({ callId, callSid }, 'a call was handed over too often');
    this.write(callId, () => this.ledger.finish(callId, callSid, '', true));
    return createRefusalTwiml(this.options.apology);
  }

  /** Makes a node let go of a call whose stream is over. Answers what comes next, where that was said. */
  private async letGo(node: string, callId: string, callSid: string): Promise<string | undefined> {
    if (node === this.node) return this.released(callId, callSid);
    const next = await this.nodes.ask(node, 'next', { callId, callSid }).catch(ifGone);
    return typeof next === 'string' ? next : undefined;
  }

  async noteStatus(input: CallWebhookInput, callId: string | undefined): Promise<void> {
    if (this.switchboard.noteStatus(input, callId)) return;
    try {
      const id = callId ?? (await this.ledger.find(input.callSid))?.callId;
      const entry = id === undefined ? undefined : await this.ledger.read(id);
      if (id === undefined || entry === undefined || entry.state === 'ended') return;
      const { parameters } = input;
      const isKnown = await this.nodes.ask(entry.node, 'status', { parameters, callId }).catch(ifGone);
      // Between two nodes nobody holds the call; a caller who has hung up is not to be connected again.
      if (isKnown !== true && isFinalStatus(input.callStatus)) {
        await this.ledger.finish(id, input.callSid, '', true);
      }
    } catch (error) {
      if (!isAway(error)) throw error;
    }
  }

  noteStreamStatus(input: CallWebhookInput): void {
    this.switchboard.noteStreamStatus(input);
  }

  async list(): Promise<CallView[]> {
    const lists = await Promise.all(
      [...this.nodes.alive.keys()].map(async (node) => {
        if (node === this.node) return this.switchboard.list();
        return ((await this.nodes.ask(node, 'list', {}).catch(ifAway)) ?? []) as CallView[];
      }),
    );
    return lists.flat();
  }

  async inspect(callId: string): Promise<CallView> {
    if (this.switchboard.has(callId)) return this.switchboard.inspect(callId);
    const found = await this.atHolder(callId, 'inspect', {});
    return found.answer === undefined ? detachedView(found.facts) : (found.answer as CallView);
  }

  async hangUp(callId: string): Promise<CallView> {
    if (this.switchboard.has(callId)) return this.switchboard.hangUp(callId);
    const found = await this.atHolder(callId, 'hangUp', {}, HANG_UP_MS);
    if (found.answer !== undefined) return found.answer as CallView;
    const { facts } = found;
    await this.ledger.finish(callId, facts.callSid, '', true);
    await this.switchboard.hangUpAtTwilio(facts);
    return { ...detachedView(facts), state: 'ended', endCause: 'hangup' };
  }

  async startRecording(callId: string, request: RecordRequest): Promise<RecordingView> {
    if (this.switchboard.has(callId)) return this.options.recordings.startRecording(callId, request);
    return (await this.ofRecording(callId, 'startRecording', { request })) as RecordingView;
  }

  async viewRecording(callId: string): Promise<RecordingView> {
    if (this.switchboard.has(callId)) return this.options.recordings.viewRecording(callId);
    return (await this.ofRecording(callId, 'viewRecording')) as RecordingView;
  }

  async stopRecording(callId: string): Promise<RecordingResult> {
    if (this.switchboard.has(callId)) return this.options.recordings.stopRecording(callId);
    return (await this.ofRecording(callId, 'stopRecording')) as RecordingResult;
  }

  /** @throws GatewayError `GW_CALL_MOVING` (409) where the call is between two nodes, and what the other node throws */
  private async ofRecording(callId: string, what: string, about: Record<string, unknown> = {}) {
    const { answer } = await this.atHolder(callId, what, about, RECORDING_MS);
    if (answer !== undefined) return answer;
    const message = `Expected call ${callId} at one of the nodes but received one that is about to go on at another`;
    throw new GatewayError('GW_CALL_MOVING', message, { status: 409 });
  }

  /**
   * What the node says that has a call; no answer where the call is between two nodes.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_REGISTRY_DOWN` (503)
   */
  private async atHolder(
    callId: string,
    what: string,
    about: Record<string, unknown>,
    withinMs?: number,
  ): Promise<{ facts: CallFacts; answer: unknown }> {
    const entry = await this.ledger.read(callId);
    if (entry?.facts === undefined || entry.state === 'ended') {
      throw new GatewayError(
        'GW_CALL_UNKNOWN',
        `Expected the id of a known call but received ${JSON.stringify(callId)}`,
        { status: 404 },
      );
    }
    const { facts, node } = entry;
    if (node === this.node) return { facts, answer: undefined };
    try {
      return { facts, answer: await this.nodes.ask(node, what, { callId, ...about }, withinMs) };
    } catch (error) {
      const code = codeOf(error);
      if (code === 'GW_NODE_GONE' || code === 'GW_CALL_UNKNOWN') return { facts, answer: undefined };
      throw error;
    }
  }

  // What other nodes ask:

  private async reply(what: string, about: Readonly<Record<string, unknown>>): Promise<unknown> {
    const callId = String(about.callId ?? '');
    switch (what) {
      case 'answer':
        return (await this.switchboard.answered(String(about.callSid))) ?? null;
      case 'next':
        return this.released(callId, String(about.callSid)) ?? null;
      case 'moved':
        this.end(callId, 'moved');
        return true;
      case 'settled':
        this.leaving.settled(callId);
        return true;
      case 'status': {
        const input = new CallWebhookInput(about.parameters as FormParameters);
        return this.switchboard.noteStatus(input, about.callId === undefined ? undefined : callId);
      }
      case 'list':
        return this.switchboard.list();
      case 'inspect':
        return this.switchboard.inspect(callId);
      case 'hangUp':
        return this.switchboard.hangUp(callId);
      case 'startRecording':
        return this.options.recordings.startRecording(callId, checkRecordRequest(about.request));
      case 'viewRecording':
        return this.options.recordings.viewRecording(callId);
      case 'stopRecording':
        return this.options.recordings.stopRecording(callId);
      default:
        throw new GatewayError(
          'GW_QUESTION_UNKNOWN',
          `Expected a question of this version but received ${what}`,
        );
    }
  }

  /** Lets go of a call whose stream is over, unless it was said what comes next. */
  private released(callId: string, callSid: string): string | undefined {
    const next = this.switchboard.next.find(callSid);
    if (next === undefined) this.end(callId, 'handed-over');
    return next;
  }

  private end(callId: string, cause: EndCause): void {
    this.switchboard.session(callId)?.call.end(cause);
  }

  // The life of the calls here:

  private entry(): SharedEntry {
    return {
      isDormant: this.nodes.takers.length > 0,
      announce: async (call, decision) => {
        // Longer where the phone rings for long, or hears something first.
        const timeToLiveMs = Math.max(this.options.timeToLiveMs, Math.ceil(-call.overdueMs));
        if (await this.ledger.announce(factsOf(call, decision), call.token, timeToLiveMs)) return;
        throw new GatewayError(
          'GW_CALL_EXISTS',
          `Expected a new id for the call but received ${call.callId}, which is taken`,
          { status: 409 },
        );
      },
    };
  }

  private adopt(facts: CallFacts, isContinued: boolean): Session {
    return this.switchboard.adopt({
      ...facts,
      webhook: facts.webhook && new CallWebhookInput(facts.webhook),
      decision: facts.decision as CallDecision,
      startedAt: new Date(facts.startedAt),
      isContinued,
    });
  }

  /** The callee of a call that another node placed was faster than Twilio's answer to it. */
  private learnSid({ call, stream }: Session): void {
    stream.once('start', ({ callSid }) => {
      this.switchboard.bindSid(call, callSid);
      this.write(call.callId, () => this.ledger.bindSid(call.callId, callSid));
    });
  }

  private noteHandover({ call, joined }: Session, from: string, reason: HandoverReason): void {
    const { callId, callSid } = call;
    void joined.then(() => this.nodes.tell(from, 'settled', { callId }));
    this.handovers.set(reason, (this.handovers.get(reason) ?? 0) + 1);
    this.log.info({ callId, callSid, from, reason }, 'call taken over');
    this.emit('handover', { callId, callSid, from, to: this.node, reason });
  }

  private over(call: PhoneCall, cause: EndCause): void {
    const { callId, callSid } = call;
    if (cause === 'moved' || cause === 'refused') return;
    const reason = DETACHING[cause];
    if (reason !== undefined) {
      this.write(callId, () => this.ledger.detach(callId, callSid, reason));
      return;
    }
    const { next } = this.switchboard;
    // Whoever asks after the call's end, here or elsewhere, is told the same.
    if (callSid !== undefined && next.find(callSid) === undefined) next.set(callSid, createHangupTwiml());
    const verb = (callSid === undefined ? undefined : next.find(callSid)) ?? '';
    this.write(callId, () =>
      cause === 'expired' ? this.ledger.expire(callId, callSid) : this.ledger.finish(callId, callSid, verb),
    );
  }

  /** Writes to the ledger, at once or when it is there again. */
  private write(callId: string, work: () => Promise<unknown>): void {
    const writing = work()
      .then(
        () => {
          if (this.unsaid.get(callId) === work) this.unsaid.delete(callId);
        },
        (error) => {
          if (!isAway(error))
            this.log.error({ callId, err: error }, 'the registry could not be told of a call');
          else this.unsaid.set(callId, work);
        },
      )
      .finally(() => this.writing.delete(writing));
    this.writing.add(writing);
    // Not more than the calls of a long outage: what is oldest is soon forgotten by Redis itself.
    if (this.unsaid.size > MAX_UNSAID) this.unsaid.delete(this.unsaid.keys().next().value as string);
  }

  /** Redis is back, perhaps without all that it knew. */
  private async catchUp(): Promise<void> {
    await this.nodes.beat();
    const unsaid = [...this.unsaid];
    this.unsaid.clear();
    for (const [callId, work] of unsaid) {
      this.write(callId, work);
      if (this.writing.size >= KEEP_BATCH) await Promise.allSettled(this.writing);
    }
    await this.keep();
  }

  /** Says that our live calls live, and writes down anew what Redis has lost. */
  private async keep(): Promise<void> {
    const sessions = this.switchboard.all.filter(
      ({ call }) => call.state === 'live' || call.state === 'connecting',
    );
    try {
      for (let i = 0; i < sessions.length; i += KEEP_BATCH) {
        const batch = new Map(
          sessions.slice(i, i + KEEP_BATCH).map((session) => [session.call.callId, session]),
        );
        const { lost, taken } = await this.ledger.keep([...batch.keys()]);
        for (const callId of taken) this.end(callId, 'moved');
        for (const callId of lost) {
          const { call, decided } = batch.get(callId) as Session;
          if (call.state !== 'ended') await this.ledger.restore(factsOf(call, await decided), call.token);
        }
      }
    } catch (error) {
      if (!isAway(error)) this.log.error({ err: error }, 'the registry could not be told of the calls');
    }
  }

  /**
   * Takes no new calls; hands the running ones to other nodes as soon as there is one, or waits for their ends. What is
   * left after the grace is closed for whoever comes to take it.
   */
  async drain(graceMs: number): Promise<void> {
    const { switchboard, log } = this;
    const until = performance.now() + graceMs;
    switchboard.beginDrain();
    await this.nodes.beat();
    while (switchboard.activeCalls > 0) {
      const left = until - performance.now();
      if (left <= 0 || this.nodes.takers.length > 0) break;
      log.info(
        { calls: switchboard.activeCalls, graceMs: Math.round(left) },
        'draining: no other node, waiting',
      );
      await switchboard.idle(Math.min(left, LOOK_MS));
      await this.nodes.beat();
    }
    const { all } = switchboard;
    if (all.length > 0)
      log.info({ calls: all.length, nodes: this.nodes.takers.length }, 'draining: handing over');
    // Whoever still rings connects elsewhere: the others know of it.
    for (const { call } of all) if (call.state === 'ringing') call.end('moved');
    for (const { call } of all) {
      if (call.state === 'ended') continue;
      if (this.nodes.takers.length > 0) await this.leaving.enter(call.callId);
      call.end('handed-over');
    }
    await this.leaving.empty();
    await switchboard.placed();
    for (const { call } of switchboard.all) call.end('moved');
    await Promise.allSettled(this.writing);
  }

  private refuseNew(error: unknown): string {
    if (!isAway(error)) throw error;
    this.switchboard.admission.noteRefused('registry');
    this.log.warn({ err: error }, 'a call was refused: the registry is down');
    return createRefusalTwiml('busy');
  }
}

const MAX_UNSAID = 10_000;

function factsOf(call: PhoneCall, decision: CallDecision): CallFacts {
  return {
    callId: call.callId,
    callSid: call.callSid,
    direction: call.direction,
    from: call.from,
    to: call.to,
    startedAt: call.startedAt.getTime(),
    webhook: call.webhookData?.parameters,
    decision,
  };
}

function detachedView(facts: CallFacts): CallView {
  return {
    callId: facts.callId,
    callSid: facts.callSid,
    direction: facts.direction,
    from: facts.from,
    to: facts.to,
    state: 'detached',
    startedAt: new Date(facts.startedAt).toISOString(),
    durationSeconds: null,
  };
}

function codeOf(error: unknown): string | undefined {
  return error instanceof GatewayError ? error.code : undefined;
}

/** Whether it is the registry that does not answer. */
function isAway(error: unknown): boolean {
  return codeOf(error) === 'GW_REGISTRY_DOWN';
}

function ifGone(error: unknown): undefined {
  if (codeOf(error) !== 'GW_NODE_GONE') throw error;
}

function ifAway(error: unknown): undefined {
  if (!isAway(error)) ifGone(error);
}

function registryDown(): GatewayError {
  return new GatewayError('GW_REGISTRY_DOWN', 'Expected a registry for a new call but received none', {
    status: 503,
  });
}
