import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../../clock.js';
import { expected } from '../../errors.js';
import { CandidatePair } from './candidate-pair.js';
import { Gatherer, type GathererListener } from './gatherer.js';
import type { IceCandidate } from './ice-candidate.js';
import { type EarlyCheck, IceGeneration, type IceParameters } from './ice-generation.js';
import type { IcePath } from './ice-path.js';
import { type IceServer, serverAddresses } from './ice-server.js';
import { familyOf, unicastIp } from './ip-address.js';
import { type Network, systemNetwork } from './network.js';
import {
  looksLikeStun,
  StunAttribute,
  StunBuilder,
  StunClass,
  StunMessage,
  StunMethod,
} from './stun-message.js';

export type { IceCandidate, IceParameters, IceServer };

/** States of W3C WebRTC, RTCIceTransportState. */
export type IceState = 'new' | 'checking' | 'connected' | 'completed' | 'disconnected' | 'failed' | 'closed';

/** Hears what happens to an {@link IceAgent}. It may call the agent. */
export interface IceListener {
  /** A candidate of this side; `undefined`: there are no more. */
  candidate(candidate: IceCandidate | undefined): void;
  state(state: IceState): void;
  /** A datagram that is not STUN, from an address that has authenticated itself. Its memory is only lent. Hot path. */
  data(datagram: Buffer): void;
}

export interface IceAgentOptions {
  readonly servers: readonly IceServer[];
  /** Whether only relays may be used. */
  readonly relayOnly?: boolean | undefined;
  readonly isControlling: boolean;
  readonly clock: Clock;
  /** Certificate authorities, PEM, of TURN servers over TLS, instead of those of Node. */
  readonly certificates?: readonly string[] | undefined;
  /** The machine's own if left out. */
  readonly network?: Network | undefined;
}

/** What an agent has counted since it was made. Bytes are of data alone. */
export interface IceStats {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly requestsReceived: number;
  readonly requestsSent: number;
  readonly responsesReceived: number;
  /** Of the last answered check of the selected pair. */
  readonly roundTripMs: number | undefined;
  /** Of the selected pair. */
  readonly local: IceCandidate | undefined;
  readonly remote: IceCandidate | undefined;
}

/** At most so many checks start at once, and as many more each so many milliseconds. */
const PACE_CHECKS = 4;
const PACE_MS = 20;
/** A check is repeated after so long, then after twice that, and so on. */
const FIRST_REPEAT_MS = 100;
const LAST_REPEAT_MS = 500;
/** Another pair that the other side wants is given up after so many checks. */
const MOST_LATE_CHECKS = 10;
/** For so long a better pair may still succeed before a lesser one is nominated; a relay has more to prove. */
const PATIENCE_MS = 30;
const RELAY_PATIENCE_MS = 300;
/** A nominated pair that is silent for so long is given up for another. */
const NOMINATION_MS = 3_000;
/** Consent: RFC 7675, section 5.1, but noticed sooner. */
const CONSENT_MS = 2_500;
const CONSENT_REPEAT_MS = 500;
const DISCONNECTED_MS = 5_000;
const FAILED_MS = 30_000;
/** Requests that still may be answered. */
const MOST_REQUESTS = 256;
const MOST_CREDENTIAL = 256;

interface SentCheck {
  readonly generation: IceGeneration;
  readonly pair: CandidatePair;
  readonly sentAt: number;
  readonly isControlling: boolean;
  readonly isNominating: boolean;
}

/**
 * One side of ICE for one component: a full agent with trickled candidates (RFC 8445, RFC 8838) and consent (RFC 7675). It owns its sockets
 * and allocations until {@link close}.
 */
export class IceAgent {
  /** May be set until checks begin; a conflict of roles is settled by the agents themselves. */
  isControlling: boolean;
  private readonly clock: Clock;
  private readonly gatherer: Gatherer;
  private readonly tieBreaker = randomBytes(8).readBigUInt64BE();
  private current = new IceGeneration();
  /** The generation before a restart; its pair is used until there is another. */
  private previous: IceGeneration | undefined;
  private selected: CandidatePair | undefined;
  /** The generation of the selected pair. */
  private selectedIn: IceGeneration | undefined;
  private readonly paths: IcePath[] = [];
  private readonly sent = new Map<string, SentCheck>();
  private iceState: IceState = 'new';
  private timer: Timer | undefined;
  private timerAt = Number.POSITIVE_INFINITY;
  private paceAt = Number.NEGATIVE_INFINITY;
  private paceLeft = PACE_CHECKS;
  private bytesSent = 0;
  private bytesReceived = 0;
  private requestsReceived = 0;
  private requestsSent = 0;
  private responsesReceived = 0;

  /** @throws TypeError if a server's URL is malformed or its credentials are missing */
  constructor(
    options: IceAgentOptions,
    private readonly listener: IceListener,
  ) {
    const { isControlling, clock, certificates } = options;
    this.isControlling = isControlling;
    this.clock = clock;
    const gathered: GathererListener = {
      candidate: (candidate) => {
        if (this.iceState !== 'closed') this.listener.candidate(candidate);
      },
      opened: (path) => this.addPath(path),
      lost: (path) => this.losePath(path),
      received: (path, datagram, address, port) => this.receive(path, datagram, address, port),
      ended: () => this.endGathering(),
    };
    const servers = serverAddresses(options.servers);
    const { network = systemNetwork, relayOnly: isRelayOnly = false } = options;
    this.gatherer = new Gatherer({ network, clock, servers, isRelayOnly, certificates }, gathered);
  }

  /** Credentials of this side, of the current generation. */
  get local(): IceParameters {
    return this.current.local;
  }

  get state(): IceState {
    return this.iceState;
  }

  get gatheringState(): 'new' | 'gathering' | 'complete' {
    return this.gatherer.state;
  }

  /** Opens sockets and tells their candidates before it returns; those of servers follow. Idempotent for each generation. */
  gather(): void {
    this.gatherer.gather();
    this.begin();
  }

  /**
   * Takes the credentials of the other side. The same `ufrag` again changes nothing; another one is the other side's restart, with which a new
   * generation of this side begins as well, unless {@link restart} has begun it. A lite agent makes this side the controlling one.
   * @throws TypeError unless `ufrag` and `pwd` have 1 to 256 characters
   */
  setRemote(parameters: { readonly ufrag: string; readonly pwd: string; readonly isLite: boolean }): void {
    const { ufrag, pwd, isLite } = parameters;
    for (const text of [ufrag, pwd]) {
      if (typeof text === 'string' && text.length > 0 && text.length <= MOST_CREDENTIAL) continue;
      throw expected(`1 to ${MOST_CREDENTIAL} characters`, 'ICE credentials', text);
    }
    if (this.iceState === 'closed' || this.current.remote?.ufrag === ufrag) return;
    if (this.current.remote !== undefined) this.startGeneration();
    this.current.remote = { ufrag, pwd, isLite };
    if (isLite) this.isControlling = true;
    this.begin();
  }

  /**
   * Takes a candidate of the other side, for the current generation; `undefined`: there are no more. What cannot be used is ignored: names,
   * TCP, other components, candidates beyond the fortieth.
   */
  addRemoteCandidate(candidate: IceCandidate | undefined): void {
    const { current } = this;
    if (this.iceState === 'closed') return;
    if (candidate === undefined) {
      current.hasAllRemote = true;
      this.complete();
      return;
    }
    const { component, transport, port } = candidate;
    const address = unicastIp(candidate.address);
    if (address === undefined || component !== 1 || transport.toLowerCase() !== 'udp' || port < 1) return;
    const usable = { ...candidate, address };
    if (!current.addCandidate(usable)) return;
    if (this.gatherer.state !== 'new') this.gatherer.open(familyOf(address));
    for (const path of this.paths) this.addPair(path, usable);
    this.wake();
  }

  /**
   * Begins a new generation (RFC 8445, section 9): call {@link gather} and {@link setRemote} again. Data goes on over the selected pair until a
   * new one is found. One that has not gathered yet is fresh, as after the other side's restart, and stays.
   * @returns the credentials of the new generation
   */
  restart(): IceParameters {
    if (this.iceState !== 'closed' && this.gatherer.state !== 'new') this.startGeneration();
    return this.current.local;
  }

  /**
   * Sends a datagram over the selected pair. It may be lost; this never throws. Hot path.
   * @returns false while there is no such pair
   */
  send(datagram: Uint8Array): boolean {
    const pair = this.selected;
    if (pair === undefined) return false;
    this.bytesSent += datagram.length;
    pair.route.send(datagram);
    return true;
  }

  stats(): IceStats {
    const { bytesSent, bytesReceived, requestsReceived, requestsSent, responsesReceived, selected } = this;
    const counted = { bytesSent, bytesReceived, requestsReceived, requestsSent, responsesReceived };
    return {
      ...counted,
      roundTripMs: selected?.roundTripMs,
      local: selected?.local,
      remote: selected?.remote,
    };
  }

  /** Frees sockets, allocations and timers. Idempotent. */
  close(): void {
    if (this.iceState === 'closed') return;
    this.selected = undefined;
    this.selectedIn = undefined;
    this.clock.cancel(this.timer);
    this.sent.clear();
    this.paths.length = 0;
    this.gatherer.close();
    this.setState('closed');
  }

  private setState(state: IceState): void {
    if (this.iceState === state) return;
    this.iceState = state;
    this.listener.state(state);
  }

  private startGeneration(): void {
    // A restart before the last one has found a pair: the pair in use is older still.
    this.previous = this.selectedIn ?? this.current;
    this.current = new IceGeneration();
    this.gatherer.reset();
  }

  /** Whether the current generation has what it looked for. */
  private get isSettled(): boolean {
    return this.selectedIn === this.current && this.iceState !== 'disconnected';
  }

  /** Begins checks once this side has gathered and the other is known. */
  private begin(): void {
    const { current, gatherer, paths } = this;
    const isReady = current.remote !== undefined && gatherer.state !== 'new' && this.iceState !== 'closed';
    if (!isReady || current.beganAt < Number.POSITIVE_INFINITY) return;
    current.beganAt = this.clock.runningMs();
    if (this.selected === undefined) this.setState('checking');
    for (const { address } of current.candidates) gatherer.open(familyOf(address));
    for (const path of paths) for (const candidate of current.candidates) this.addPair(path, candidate);
    for (const early of current.earlyChecks.splice(0)) this.heard(current, early);
    this.wake();
  }

  private addPath(path: IcePath): void {
    this.paths.push(path);
    for (const candidate of this.current.candidates) this.addPair(path, candidate);
    this.wake();
  }

  private losePath(path: IcePath): void {
    const at = this.paths.indexOf(path);
    if (at < 0) return;
    this.paths.splice(at, 1);
    for (const pair of this.current.pairs) if (pair.path === path) pair.state = 'idle';
    const { selected } = this;
    if (selected?.path !== path) return;
    // Nothing can be heard from there any more.
    selected.answeredAt = Math.min(selected.answeredAt, this.clock.runningMs() - DISCONNECTED_MS);
    this.wake();
  }

  private endGathering(): void {
    this.listener.candidate(undefined);
    this.complete();
  }

  private addPair(path: IcePath, remote: IceCandidate): void {
    const { current } = this;
    if (current.beganAt === Number.POSITIVE_INFINITY || path.family !== familyOf(remote.address)) return;
    const known = current.find(path, remote.address, remote.port);
    if (known !== undefined) {
      // Found by its check before it was told.
      known.remote = remote;
      return;
    }
    const route = path.route(remote.address, remote.port);
    if (route === undefined) return;
    const pair = new CandidatePair(path, route, remote);
    // One is enough, unless the other side wants another.
    if (this.isSettled) pair.state = 'idle';
    current.addPair(pair);
  }

  /** Does what is due now, and has itself called when more will be. */
  private readonly wake = (): void => {
    if (this.iceState === 'closed') return;
    this.clock.cancel(this.timer);
    this.timer = undefined;
    this.timerAt = Number.POSITIVE_INFINITY;
    const now = this.clock.runningMs();
    this.watchConsent(now);
    this.check(now);
    this.nominate(now);
  };

  /** Has {@link wake} called at a time of `Clock.runningMs`, or sooner. */
  private wakeAt(at: number): void {
    if (at >= this.timerAt || this.iceState === 'closed') return;
    this.clock.cancel(this.timer);
    this.timerAt = at;
    this.timer = this.clock.after(Math.max(1, Math.ceil(at - this.clock.runningMs())), this.wake);
  }

  /** Keeps the consent of the other side to what is sent over the selected pair (RFC 7675, section 5.1). */
  private watchConsent(now: number): void {
    const { selected, selectedIn, current } = this;
    if (selected === undefined || selectedIn === undefined) return;
    const silentMs = now - selected.answeredAt;
    if (silentMs >= FAILED_MS) {
      this.selected = undefined;
      this.selectedIn = undefined;
      selectedIn.hasFailed = true;
      // A restart may still find another.
      const isLooking = !current.hasFailed && current.beganAt < Number.POSITIVE_INFINITY;
      this.setState(isLooking ? 'checking' : 'failed');
      return;
    }
    if (silentMs >= DISCONNECTED_MS && this.iceState !== 'disconnected') {
      if (selectedIn === current) this.checkAgain();
      this.setState('disconnected');
    }
    if (selected !== this.selected) return;
    if (now >= selected.dueAt) this.sendCheck(selectedIn, selected, now);
    const limitMs = silentMs < DISCONNECTED_MS ? DISCONNECTED_MS : FAILED_MS;
    this.wakeAt(Math.min(selected.dueAt, selected.answeredAt + limitMs));
  }

  /** Looks for another pair, since the selected one is silent. */
  private checkAgain(): void {
    for (const pair of this.current.pairs) {
      if (pair === this.selected || !this.paths.includes(pair.path)) continue;
      pair.state = 'waiting';
      pair.unanswered = 0;
      pair.isNominating = false;
    }
  }

  /** Checks the pairs of the current generation (RFC 8445, section 6.1.4.2). */
  private check(now: number): void {
    const { current } = this;
    if (current.beganAt === Number.POSITIVE_INFINITY || current.hasFailed || this.iceState === 'closed')
      return;
    if (this.selectedIn !== current) {
      if (now - current.beganAt >= FAILED_MS) {
        current.hasFailed = true;
        if (this.selected === undefined) this.setState('failed');
        return;
      }
      this.wakeAt(current.beganAt + FAILED_MS);
    }
    for (let pair = this.nextPair(now); pair !== undefined; pair = this.nextPair(now)) {
      if (this.isSettled && pair.unanswered >= MOST_LATE_CHECKS) {
        pair.state = 'idle';
        pair.isNominated = false;
        continue;
      }
      if (!this.takePace(now)) {
        this.wakeAt(this.paceAt + PACE_MS);
        return;
      }
      this.sendCheck(current, pair, now);
    }
    for (const { state, dueAt } of current.pairs) if (state === 'checking') this.wakeAt(dueAt);
  }

  /** The pair that is checked next: one that the other side checks, then one that waits, then one that has not answered. */
  private nextPair(now: number): CandidatePair | undefined {
    let best: CandidatePair | undefined;
    let bestRank = 0;
    for (const pair of this.current.pairs) {
      const isDue = pair.state === 'waiting' || (pair.state === 'checking' && pair.dueAt <= now);
      if (!isDue) continue;
      const rank =
        pair.priority(this.isControlling) *
        (pair.isTriggered ? 2 ** 66 : pair.state === 'waiting' ? 2 ** 33 : 1);
      if (best !== undefined && rank <= bestRank) continue;
      best = pair;
      bestRank = rank;
    }
    return best;
  }

  private takePace(now: number): boolean {
    if (now - this.paceAt >= PACE_MS) {
      this.paceAt = now;
      this.paceLeft = PACE_CHECKS;
    }
    if (this.paceLeft === 0) return false;
    this.paceLeft -= 1;
    return true;
  }

  private sendCheck(generation: IceGeneration, pair: CandidatePair, now: number): void {
    const { isControlling } = this;
    const { remote, local } = generation;
    if (remote === undefined) return;
    if (pair.state === 'waiting') pair.state = 'checking';
    pair.isTriggered = false;
    pair.sentAt = now;
    pair.dueAt =
      now +
      (pair.state === 'succeeded'
        ? CONSENT_REPEAT_MS
        : Math.min(LAST_REPEAT_MS, FIRST_REPEAT_MS * 2 ** Math.min(pair.unanswered, 8)));
    pair.unanswered += 1;
    // The selected pair says so again and again: the other side may have changed its mind.
    const isNominating = isControlling && (pair.isNominating || pair === this.selected);
    const request = new StunBuilder(StunClass.request, StunMethod.binding)
      .add(StunAttribute.username, `${remote.ufrag}:${local.ufrag}`)
      .addUint32(StunAttribute.priority, pair.reflexivePriority)
      .addUint64(isControlling ? StunAttribute.iceControlling : StunAttribute.iceControlled, this.tieBreaker);
    if (isNominating) request.add(StunAttribute.useCandidate);
    const check = { generation, pair, sentAt: this.clock.now(), isControlling, isNominating };
    if (this.sent.size >= MOST_REQUESTS) {
      // The oldest is the least likely to be answered.
      for (const id of this.sent.keys()) {
        this.sent.delete(id);
        break;
      }
    }
    this.sent.set(request.transaction, check);
    this.requestsSent += 1;
    pair.route.send(request.finish(remote.pwd));
  }

  /** As controlling, decides for a pair (RFC 8445, section 8.1.1). */
  private nominate(now: number): void {
    const { current } = this;
    if (!this.isControlling || this.isSettled || this.iceState === 'closed') return;
    let best: CandidatePair | undefined;
    for (const pair of current.pairs) {
      if (pair.isNominating) {
        if (now - pair.answeredAt < NOMINATION_MS) return;
        pair.isNominating = false;
        pair.state = 'idle';
      }
      if (pair.state !== 'succeeded' || pair === this.selected) continue;
      if (best === undefined || pair.priority(true) > best.priority(true)) best = pair;
    }
    if (best === undefined) return;
    const priority = best.priority(true);
    const isRelayed = best.path.isRelay || best.remote.type === 'relay';
    const until = current.answeredAt + (isRelayed ? RELAY_PATIENCE_MS : PATIENCE_MS);
    const mayImprove = (pair: CandidatePair) =>
      (pair.state === 'waiting' || pair.state === 'checking') && pair.priority(true) > priority;
    if (now < until && current.pairs.some(mayImprove)) {
      this.wakeAt(until);
      return;
    }
    best.isNominating = true;
    best.state = 'checking';
    best.unanswered = 0;
    this.sendCheck(current, best, now);
    this.wakeAt(best.dueAt);
  }

  /** As controlled, follows the other side to a pair whose check has succeeded (RFC 8445, section 8.1.2). */
  private follow(pair: CandidatePair, now: number): void {
    const { selected } = this;
    const isBetter =
      !this.isSettled ||
      selected === undefined ||
      pair.priority(false) > selected.priority(false) ||
      now - selected.nominatedAt > NOMINATION_MS;
    pair.isNominated = false;
    if (isBetter) this.select(pair, now);
  }

  /** Sends over a pair of the current generation from now on. */
  private select(pair: CandidatePair, now: number): void {
    const { current } = this;
    for (const other of current.pairs) {
      other.isNominating = false;
      if (other.state !== 'succeeded') other.state = 'idle';
    }
    pair.state = 'succeeded';
    pair.dueAt = now + consentMs();
    this.selected = pair;
    this.selectedIn = current;
    // Whatever they answer is of no use any more.
    this.sent.clear();
    this.gatherer.keepOnly(pair.path);
    this.wakeAt(pair.dueAt);
    this.setState('connected');
    this.complete();
  }

  private complete(): void {
    const { current } = this;
    const hasAll = current.hasAllRemote && this.gatherer.state === 'complete';
    if (hasAll && this.selectedIn === current && this.iceState === 'connected') this.setState('completed');
  }

  private receive(path: IcePath, datagram: Buffer, address: string, port: number): void {
    if (datagram.length === 0) return;
    if ((datagram[0] as number) < 4) {
      if (looksLikeStun(datagram)) this.receiveStun(path, datagram, address, port);
      return;
    }
    const { selected } = this;
    if (selected === undefined || !selected.isTo(path, address, port)) {
      const pair = this.current.find(path, address, port) ?? this.previous?.find(path, address, port);
      if (pair === undefined || !pair.isHeard) return;
    }
    this.bytesReceived += datagram.length;
    this.listener.data(datagram);
  }

  private receiveStun(path: IcePath, datagram: Buffer, address: string, port: number): void {
    const message = StunMessage.parse(datagram);
    if (message === undefined || message.method !== StunMethod.binding) return;
    if (message.class_ === StunClass.request) this.answer(path, message, address, port);
    else if (message.class_ !== StunClass.indication) this.takeResponse(path, message, address, port);
  }

  /** Answers a check of the other side (RFC 8445, section 7.3). What has no valid credentials is not answered at all. */
  private answer(path: IcePath, message: StunMessage, address: string, port: number): void {
    const username = message.textOf(StunAttribute.username);
    const generation = username === undefined ? undefined : this.generationOf(username);
    // An address with a zone is none that an answer could bear.
    if (generation === undefined || address.includes('%')) return;
    const { pwd } = generation.local;
    if (!message.isAuthentic(pwd)) return;
    this.requestsReceived += 1;
    const route = generation.find(path, address, port)?.route ?? path.route(address, port);
    if (route === undefined) return;
    const refuse = (code: number, reason: string, unknown: readonly number[] = []) => {
      const response = new StunBuilder(StunClass.error, message.method, message.transaction);
      response.addErrorCode(code, reason);
      if (unknown.length > 0) {
        const types = Buffer.alloc(unknown.length * 2);
        for (const [i, type] of unknown.entries()) types.writeUInt16BE(type, i * 2);
        response.add(StunAttribute.unknownAttributes, types);
      }
      route.send(response.finish(pwd));
    };
    const { unknownAttributes } = message;
    const priority = message.uint32Of(StunAttribute.priority);
    if (unknownAttributes.length > 0) refuse(420, 'Unknown Attribute', unknownAttributes);
    else if (priority === undefined) refuse(400, 'Bad Request');
    else if (generation === this.current && this.hasRoleConflict(message)) refuse(487, 'Role Conflict');
    else {
      const response = new StunBuilder(StunClass.success, message.method, message.transaction);
      route.send(response.addXorAddress(StunAttribute.xorMappedAddress, { address, port }).finish(pwd));
      const isNominating = message.has(StunAttribute.useCandidate);
      this.heard(generation, { path, address, port, priority, isNominating });
    }
  }

  private generationOf(username: string): IceGeneration | undefined {
    if (username.startsWith(`${this.current.local.ufrag}:`)) return this.current;
    return this.previous !== undefined && username.startsWith(`${this.previous.local.ufrag}:`)
      ? this.previous
      : undefined;
  }

  /** Whether the other side has to give way in a conflict of roles; if not, this one does (RFC 8445, section 7.3.1.1). */
  private hasRoleConflict(message: StunMessage): boolean {
    const { isControlling, tieBreaker } = this;
    const theirs = message.uint64Of(
      isControlling ? StunAttribute.iceControlling : StunAttribute.iceControlled,
    );
    if (theirs === undefined) return false;
    const isStronger = tieBreaker >= theirs;
    if (isControlling === isStronger) return true;
    this.switchRole();
    return false;
  }

  private switchRole(): void {
    this.isControlling = !this.isControlling;
    for (const pair of this.current.pairs) {
      if (pair.isNominating) pair.state = 'waiting';
      pair.isNominating = false;
    }
    this.wake();
  }

  /** The other side has checked a pair: this one does as well (RFC 8445, section 7.3.1.4). */
  private heard(generation: IceGeneration, check: EarlyCheck): void {
    const { path, address, port, priority } = check;
    if (generation.beganAt === Number.POSITIVE_INFINITY) {
      generation.addEarlyCheck(check);
      return;
    }
    if (generation === this.current && generation.find(path, address, port) === undefined) {
      const foundation = `prflx${generation.pairs.length}`;
      const reflexive = {
        foundation,
        component: 1,
        transport: 'udp',
        priority,
        address,
        port,
        type: 'prflx',
      };
      this.addPair(path, reflexive as IceCandidate);
    }
    const pair = generation.find(path, address, port);
    if (pair === undefined) return;
    pair.isHeard = true;
    if (generation !== this.current) return;
    const now = this.clock.runningMs();
    const isNominating = check.isNominating && !this.isControlling;
    if (isNominating) pair.nominatedAt = now;
    if (pair === this.selected) return;
    if (pair.state === 'succeeded' && now - pair.answeredAt < DISCONNECTED_MS) {
      if (isNominating) this.follow(pair, now);
      return;
    }
    if (isNominating) pair.isNominated = true;
    else if (this.isSettled) return;
    pair.isTriggered = true;
    if (pair.state === 'idle') pair.unanswered = 0;
    if (pair.state === 'checking' && now - pair.sentAt < PACE_MS) pair.dueAt = pair.sentAt + PACE_MS;
    else pair.state = 'waiting';
    this.wake();
  }

  /** RFC 8445, section 7.2.5. */
  private takeResponse(path: IcePath, message: StunMessage, address: string, port: number): void {
    const check = this.sent.get(message.transaction);
    if (check === undefined) {
      this.gatherer.take(message);
      return;
    }
    const { generation, pair } = check;
    const isExpected = pair.isTo(path, address, port) && message.isAuthentic(generation.remote?.pwd ?? '');
    if (!isExpected) return;
    this.sent.delete(message.transaction);
    this.responsesReceived += 1;
    // One of a generation that is over counts only as consent.
    const isOver = generation !== this.current || generation.hasFailed;
    if (isOver && pair !== this.selected) return;
    if (message.class_ === StunClass.error) this.takeError(check, message.errorCode);
    else this.takeSuccess(check, message);
  }

  private takeError({ pair, isControlling }: SentCheck, code: number | undefined): void {
    if (pair === this.selected) return;
    if (code !== 487) {
      pair.state = 'idle';
      pair.isNominating = false;
      return;
    }
    pair.state = 'waiting';
    pair.isTriggered = true;
    if (isControlling === this.isControlling) this.switchRole();
    else this.wake();
  }

  private takeSuccess({ generation, pair, sentAt, isNominating }: SentCheck, message: StunMessage): void {
    const mapped = message.xorAddressOf(StunAttribute.xorMappedAddress);
    if (mapped === undefined) return;
    const now = this.clock.runningMs();
    pair.showLocal(mapped);
    pair.roundTripMs = this.clock.now() - sentAt;
    pair.answeredAt = now;
    pair.unanswered = 0;
    pair.isHeard = true;
    if (pair === this.selected) {
      pair.dueAt = now + consentMs();
      if (this.iceState === 'disconnected') {
        if (generation === this.current) this.select(pair, now);
        else this.setState('connected');
      }
      this.wakeAt(pair.dueAt);
      return;
    }
    if (isNominating && this.isControlling) {
      if (!this.isSettled) this.select(pair, now);
    } else if (!pair.isNominating) {
      pair.state = 'succeeded';
      generation.answeredAt = Math.min(generation.answeredAt, now);
      if (pair.isNominated && !this.isControlling) this.follow(pair, now);
    }
    this.wake();
  }
}

/** Until the next check of consent: spread, so that many agents do not check at once (RFC 7675, section 5.1). */
function consentMs(): number {
  return CONSENT_MS * (0.8 + 0.4 * Math.random());
}
