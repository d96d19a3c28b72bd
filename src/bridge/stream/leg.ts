import type { Clock, Timer } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import type { MarkEcho } from '../../media/marks.js';
import type { Logger } from '../../telemetry/log.js';
import type { Stamp } from '../../telemetry/stamp.js';
import type { AnsweredFacts, BridgeLeg, BridgeUser, PhoneLine } from '../bridge.js';
import type { Administration } from './administration.js';
import type { CallName } from './call-name.js';
import type { MediaHost } from './media-host.js';
import type { Departure, ParticipantListener, PlacedParticipant } from './participant.js';
import { type PhoneCommand, type PhoneEvent, readCommand } from './phone-events.js';
import { Tail } from './tail.js';
import type { TransferRule } from './transfer-rule.js';

export interface StreamLegOptions {
  readonly apiKey: string;
  readonly baseUrl?: string | undefined;
  readonly administration: Administration;
  readonly host: MediaHost;
  readonly log: Logger;
  readonly clock: Clock;
  /** Longest time to join, at first and after a loss, in milliseconds. */
  readonly joinMs: number;
  /** Longest time without anybody else in the call, in milliseconds. */
  readonly aloneMs: number;
  readonly watchdogMs: number;
  readonly mayTransfer: TransferRule;
  /** Told of each join anew after a loss. */
  readonly onRejoin?: () => void;
}

/** Pauses between attempts to join; the last one repeats. The first loss is made good for at once. */
const PAUSES_MS = [0, 250, 500, 1_000, 2_000];
/** Events that may wait for Stream to take them. */
const MAX_PENDING_EVENTS = 100;

/** A phone in a Stream call, for as long as the call lasts: through lost workers, servers and connections. */
export class StreamLeg implements BridgeLeg {
  private participant: PlacedParticipant | undefined;
  private isClosed = false;
  private isJoined = false;
  private isMuted = false;
  private wasLost = false;
  /** Stream refused the last try to join. */
  private isRefused = false;
  private attempts = 0;
  private lostAt: number;
  private retry: Timer | undefined;
  private alone: Timer | undefined;
  private joinTimer: Timer | undefined;
  /** Whether it is to be seen in its call, and somebody waits for that. */
  private isPresent = false;
  private others = 0;
  /** What is still on its way to a phone that is to be hung up. */
  private tail: Tail | undefined;
  private pendingEvents = 0;
  private events: Promise<void> = Promise.resolve();
  /** Told once, when it is closed from whichever side. */
  onClose: (() => void) | undefined;
  private readonly settled: Promise<void>;
  private settle: { resolve(): void; reject(error: unknown): void } | undefined;

  constructor(
    private readonly callId: string,
    private readonly user: BridgeUser,
    private readonly name: CallName,
    private readonly line: PhoneLine,
    private readonly options: StreamLegOptions,
  ) {
    this.lostAt = options.clock.now();
    this.settled = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.settled.catch(() => {});
  }

  /**
   * Makes ready to join, or joins for the first time.
   * @param isPresent whether it joins for everybody to see; else that waits until it is {@link answered}
   * @throws GatewayError `GW_STREAM_JOIN` when the time is over, `GW_STREAM_REFUSED` and `GW_STREAM_UNAVAILABLE`
   */
  async join(signal: AbortSignal, isPresent: boolean): Promise<void> {
    const giveUp = () => this.close();
    signal.addEventListener('abort', giveUp);
    this.limitJoin();
    try {
      await Promise.race([this.options.administration.prepare(this.user, this.name, signal), this.settled]);
      this.place();
      if (isPresent) await this.appear();
    } catch (error) {
      this.close();
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /**
   * Somebody is on the phone: it joins, if it has not, and tells those in the call.
   * @throws GatewayError `GW_STREAM_JOIN`, `GW_STREAM_CALL_ENDED`
   */
  async answered({ direction, ringSeconds, isContinued }: AnsweredFacts): Promise<void> {
    try {
      await this.appear();
    } catch (error) {
      this.close();
      throw error;
    }
    if (isContinued) return;
    this.tell({
      type: 'phone.answered',
      ...(direction === undefined ? {} : { direction }),
      ...(ringSeconds === undefined ? {} : { ring_seconds: ringSeconds }),
    });
  }

  write(frame: Int16Array, stamp: Stamp): void {
    if (!this.isMuted) this.participant?.write(frame, stamp);
  }

  dtmf(digit: string): void {
    this.tell({ type: 'phone.digit', digit });
  }

  marked({ name, playedMs, cleared }: MarkEcho): void {
    this.tell({ type: 'phone.marked', name, played_ms: Math.round(playedMs), cleared });
  }

  close(): Promise<void> | undefined {
    if (this.isClosed) return undefined;
    this.isClosed = true;
    this.options.clock.cancel(this.retry);
    this.options.clock.cancel(this.alone);
    this.options.clock.cancel(this.joinTimer);
    this.tail?.close();
    this.settle?.reject(new GatewayError('GW_STREAM_LEFT', 'Expected a call to join but received its end'));
    const { participant } = this;
    this.participant = undefined;
    const leaving = participant?.leave();
    this.onClose?.();
    return leaving;
  }

  private async appear(): Promise<void> {
    if (!this.isPresent) {
      this.isPresent = true;
      // A caller waits no longer for having rung before.
      this.limitJoin();
      this.participant?.appear();
    }
    await this.settled;
  }

  /** From now on there is only so much time to join. */
  private limitJoin(reason = 'the time was over'): void {
    this.options.clock.cancel(this.joinTimer);
    this.joinTimer = this.isClosed
      ? undefined
      : this.options.clock.after(this.options.joinMs, () => this.fail(reason));
  }

  private unlimitJoin(): void {
    this.options.clock.cancel(this.joinTimer);
    this.joinTimer = undefined;
  }

  /** Whether it is in its call at this moment. */
  get isIn(): boolean {
    return this.isJoined && !this.isClosed;
  }

  private place(): void {
    if (this.isClosed) return;
    this.attempts += 1;
    const { apiKey, baseUrl, watchdogMs, administration, host } = this.options;
    const { id, name } = this.user;
    // A participant that was lost may still have something to say; only the latest one is listened to.
    let placed: PlacedParticipant | undefined;
    const isCurrent = () => !this.isClosed && this.participant === placed;
    const listener: ParticipantListener = {
      write: (frame, stamp) => {
        if (!isCurrent()) return;
        this.line.write(frame, stamp);
        this.tail?.hear(frame);
      },
      token: async () => administration.token(id),
      prepared: () => {
        if (isCurrent()) this.prepared();
      },
      joined: () => {
        if (isCurrent()) this.joined();
      },
      others: (count) => {
        if (isCurrent()) this.countOthers(count);
      },
      event: (custom, userId) => {
        if (isCurrent()) this.obey(custom, userId);
      },
      tonesRefused: (message) => {
        if (isCurrent()) this.refuse('phone.dtmf', 'GW_DTMF_QUEUE_FULL', message);
      },
      departed: (departure, reason) => {
        if (isCurrent()) this.departed(departure, reason);
      },
    };
    placed = host.place(
      {
        apiKey,
        baseUrl,
        userId: id,
        userName: name,
        callType: this.name.type,
        callId: this.name.id,
        isBack: this.isJoined || this.wasLost,
        watchdogMs,
      },
      listener,
    );
    this.participant = placed;
    if (this.isPresent) placed.appear();
  }

  /** A phone may ring for as long as it likes. */
  private prepared(): void {
    if (this.isPresent) return;
    this.attempts = 0;
    this.unlimitJoin();
  }

  private joined(): void {
    const lostForMs = this.options.clock.now() - this.lostAt;
    if (this.isJoined) return;
    this.isJoined = true;
    this.isRefused = false;
    this.settle?.resolve();
    this.unlimitJoin();
    if (this.isMuted) this.participant?.mute(true);
    this.waitForOthers();
    const { log, onRejoin } = this.options;
    const facts = { callId: this.callId, attempts: this.attempts, ms: Math.round(lostForMs) };
    if (this.wasLost) {
      onRejoin?.();
      log.warn(facts, 'joined the Stream call again');
    } else log.debug(facts, 'joined the Stream call');
    this.attempts = 0;
  }

  private departed(departure: Departure, reason: string): void {
    this.participant = undefined;
    if (departure === 'ended') {
      this.settle?.reject(
        new GatewayError('GW_STREAM_CALL_ENDED', `Expected a Stream call to join but received: ${reason}`),
      );
      this.options.log.info({ callId: this.callId, reason }, 'the Stream call is over');
      this.close();
      this.line.hangUp();
      return;
    }
    if (departure === 'forbidden' || (departure === 'refused' && this.isRefused)) {
      this.wasLost ||= this.isJoined;
      const permission = departure === 'forbidden' ? reason : permissionIn(reason);
      if (permission === undefined) this.fail(reason);
      else this.forbid(permission);
      return;
    }
    if (departure === 'refused') {
      // Once may be an answer of a part of Stream's that has not heard of the user or the call yet.
      this.isRefused = true;
      this.options.administration.noteRetry(`the join: ${reason}`);
    }
    if (this.isJoined) {
      this.isJoined = false;
      this.wasLost = true;
      this.options.clock.cancel(this.alone);
      this.attempts = 0;
      this.lostAt = this.options.clock.now();
      this.options.log.warn({ callId: this.callId, reason }, 'lost the Stream call');
    }
    if (this.joinTimer === undefined) this.limitJoin(reason);
    const pause = PAUSES_MS[Math.min(this.attempts, PAUSES_MS.length - 1)] as number;
    this.retry = this.options.clock.after(pause, () => this.place());
  }

  /** The time to join is over, or Stream does not let it in. */
  private fail(reason: string): void {
    const { type, id } = this.name;
    this.giveUp(
      new GatewayError(
        'GW_STREAM_JOIN',
        `Expected to join Stream call ${type}:${id} but received: ${reason}`,
      ),
    );
  }

  private forbid(permission: string): void {
    const { type, id } = this.name;
    this.giveUp(
      new GatewayError(
        'GW_STREAM_PERMISSION',
        `The user ${this.user.id} lacks the permission ${permission} in Stream call ${type}:${id}`,
      ),
    );
  }

  private giveUp(error: GatewayError): void {
    if (!this.wasLost && this.isPresent) {
      this.settle?.reject(error);
      return;
    }
    // Nobody waits for it: the caller is told.
    this.close();
    this.line.fail(error);
  }

  private countOthers(count: number): void {
    this.others = count;
    this.waitForOthers();
  }

  /** Nobody is left to wait for anybody without end. */
  private waitForOthers(): void {
    this.options.clock.cancel(this.alone);
    this.alone = undefined;
    if (this.others > 0 || this.isClosed || !this.isJoined) return;
    this.alone = this.options.clock.after(this.options.aloneMs, () => {
      if (!this.line.isLive) {
        // Whoever is being called still has to answer.
        this.waitForOthers();
        return;
      }
      this.options.log.info({ callId: this.callId }, 'left alone in the Stream call');
      this.close();
      this.line.hangUp();
    });
  }

  /** Somebody in the call wants something of the phone. */
  private obey(custom: unknown, userId: string): void {
    const read = readCommand(custom, this.user.id);
    if (read === undefined) return;
    if ('refused' in read) {
      this.refuse(read.refused, 'GW_PHONE_COMMAND', read.message);
      return;
    }
    const { command } = read;
    this.options.log.info({ callId: this.callId, command: command.type, by: userId }, 'command');
    try {
      this.carryOut(command);
    } catch (error) {
      const known = error instanceof GatewayError;
      if (!known) this.options.log.error({ callId: this.callId, err: error }, 'a command failed');
      this.refuse(command.type, known ? error.code : 'GW_INTERNAL', known ? error.message : 'it failed');
    }
  }

  private carryOut(command: PhoneCommand): void {
    const { line } = this;
    switch (command.type) {
      case 'phone.clear': {
        const { playedMs, discardedMs } = line.clear();
        this.tell({
          type: 'phone.cleared',
          played_ms: Math.round(playedMs),
          discarded_ms: Math.round(discardedMs),
        });
        break;
      }
      case 'phone.mark':
        line.mark(command.name);
        break;
      case 'phone.dtmf':
        this.participant?.playTones(command.digits);
        break;
      case 'phone.mute':
      case 'phone.unmute':
        // Remembered here: a participant that takes this one's place is to be as silent.
        this.isMuted = command.type === 'phone.mute';
        this.participant?.mute(this.isMuted);
        break;
      case 'phone.hangup':
        if (command.after === 'now') line.hangUp({ now: true });
        else this.tail ??= new Tail(this.options.clock, () => line.hangUp());
        break;
      case 'phone.transfer':
        this.transfer(command.to);
        break;
    }
  }

  private transfer(to: string): void {
    if (!this.options.mayTransfer(to)) {
      throw new GatewayError(
        'GW_TRANSFER_REFUSED',
        'Expected a number that transfers are allowed to but received another',
      );
    }
    this.line.transfer(to);
  }

  private refuse(command: string, code: string, message: string): void {
    this.tell({ type: 'phone.error', command, code, message });
  }

  /** Tells everybody in the call, in order. */
  private tell(event: PhoneEvent): void {
    if (this.isClosed) return;
    if (this.pendingEvents >= MAX_PENDING_EVENTS) {
      this.options.log.warn(
        { callId: this.callId, event: event.type },
        'an event was dropped: too many wait',
      );
      return;
    }
    this.pendingEvents += 1;
    const { administration, log } = this.options;
    this.events = this.events
      .then(() => administration.sendEvent(this.name, this.user.id, { ...event, phone: this.user.id }))
      .catch((error) => log.warn({ callId: this.callId, err: error }, 'an event did not reach Stream'))
      .finally(() => {
        this.pendingEvents -= 1;
      });
  }
}

/** The permission that a refusal of Stream's names, as `JoinCall`: in its settings it is `join-call`. */
function permissionIn(reason: string): string | undefined {
  const action = /not allowed to perform action (\w+)/.exec(reason)?.[1];
  return action?.replace(/\B[A-Z]/g, '-$&').toLowerCase();
}
