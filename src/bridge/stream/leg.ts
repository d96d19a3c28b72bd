import type { Clock, Timeout, Timer } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import type { FrameClock } from '../../media/frame-clock.js';
import type { MarkEcho } from '../../phone/marks.js';
import type { IngressTime } from '../../telemetry/ingress-time.js';
import type { Logger } from '../../telemetry/log.js';
import type { AnsweredFacts, BridgeLeg, BridgeUser, PhoneLine } from '../bridge.js';
import { Filler } from '../filler.js';
import type { Administration } from './administration.js';
import type { CallName } from './call-name.js';
import type { CommandRule, TransferRule } from './command-rule.js';
import type { MediaHost } from './media-host.js';
import type { Departure, MutedBy, ParticipantListener, PlacedParticipant } from './participant.js';
import { type PhoneCommand, type PhoneEvent, readCommand } from './phone-events.js';
import { Tail } from './tail.js';

export interface StreamLegOptions {
  readonly apiKey: string;
  readonly baseUrl?: string | undefined;
  readonly administration: Administration;
  readonly host: MediaHost;
  readonly log: Logger;
  readonly clock: Clock;
  /** Longest time to join, initially and after a loss, in milliseconds. */
  readonly joinMs: number;
  /** Longest time alone in the call, in milliseconds. */
  readonly aloneMs: number;
  readonly watchdogMs: number;
  readonly mayTransfer: TransferRule;
  readonly mayCommand: CommandRule;
  readonly frameClock: FrameClock;
  /** Whether a slow join plays ringback to the caller. */
  readonly ringback: boolean;
  /** Whether a caller who is alone in the call hears comfort noise. */
  readonly comfortNoise: boolean;
  /** Key sequence by which the caller mutes and unmutes the phone in its call; none by default. */
  readonly muteKey?: string | undefined;
  /** Called for each rejoin after a loss. */
  readonly onRejoin?: () => void;
  /** Called for each command of a user without the permission. */
  readonly onIgnored?: () => void;
}

/** Pauses between attempts to join; the last one repeats. After the first loss there is none. */
const PAUSES_MS = [0, 250, 500, 1_000, 2_000];
/** A join that takes longer plays ringback. */
const RING_AFTER_MS = 2_000;
const RING_LOOK_MS = 100;
/** Keys further apart do not form a sequence. */
const KEYS_MS = 3_000;
/** Most events that wait to be sent to Stream. */
const MAX_PENDING_EVENTS = 100;

/** A phone in a Stream call. It stays for the whole call, across lost workers, servers and connections. @internal */
export class StreamLeg implements BridgeLeg {
  private participant: PlacedParticipant | undefined;
  private isClosed = false;
  private isJoined = false;
  /** Muted by a command, by a key or by a moderator. */
  private isMuted = false;
  /** The permission to speak was revoked. */
  private isForbidden = false;
  /** Whether the call has received the event that the phone is muted. */
  private isSilent = false;
  /** Who requested the latest change. */
  private muter: { readonly by: 'command' | 'keypad'; readonly userId?: string | undefined } = {
    by: 'command',
  };
  private readonly filler: Filler;
  private ringing: Timer | undefined;
  /** When the caller began to wait for the join; undefined while the phone rings. */
  private waitsSince: number | undefined;
  private pressed = '';
  private pressedAt = 0;
  private wasLost = false;
  /** Whether a user without the permission has sent a command. */
  private hasIgnored = false;
  /** Whether Stream refused the last attempt to join. */
  private isRefused = false;
  private attempts = 0;
  private lostAt: number;
  private retry: Timer | undefined;
  private alone: Timeout | undefined;
  private joinPatience: Timeout | undefined;
  /** Whether it should be visible in its call. */
  private isPresent = false;
  private others = 0;
  /** Audio still to be heard before the phone is hung up or transferred. */
  private tail: Tail | undefined;
  private pendingEvents = 0;
  private events: Promise<void> = Promise.resolve();
  /** Called once, when either side closes it. */
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
    this.filler = new Filler(line, options.clock, options.frameClock);
    if (options.ringback) this.ringing = options.clock.every(RING_LOOK_MS, () => this.ring());
    this.settled = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.settled.catch(() => {});
  }

  /**
   * Prepares to join, or joins for the first time.
   * @param isPresent whether it becomes visible now; otherwise once it is {@link answered}
   * @throws GatewayError `GW_STREAM_JOIN` when the time is over, `GW_STREAM_PERMISSION`, `GW_STREAM_REFUSED` and `GW_STREAM_UNAVAILABLE`
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
   * The call was answered: the phone joins, if it has not yet, and the Stream call gets the event.
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
    this.publish({
      type: 'phone.answered',
      ...(direction === undefined ? {} : { direction }),
      ...(ringSeconds === undefined ? {} : { ring_seconds: ringSeconds }),
    });
  }

  write(frame: Int16Array, stamp: IngressTime): void {
    if (!this.isMuted) this.participant?.write(frame, stamp);
  }

  dtmf(digit: string): void {
    this.publish({ type: 'phone.digit', digit });
    const { muteKey, clock } = this.options;
    if (muteKey === undefined) return;
    const now = clock.now();
    if (now - this.pressedAt > KEYS_MS) this.pressed = '';
    this.pressedAt = now;
    this.pressed = (this.pressed + digit).slice(-muteKey.length);
    if (this.pressed !== muteKey) return;
    this.pressed = '';
    this.attempt('phone.mute', () => this.mute(!this.isMuted, 'keypad'));
  }

  marked({ name, playedMs, cleared }: MarkEcho): void {
    this.publish({ type: 'phone.marked', name, played_ms: Math.round(playedMs), cleared });
  }

  close(): Promise<void> | undefined {
    if (this.isClosed) return undefined;
    this.isClosed = true;
    this.options.clock.cancel(this.retry);
    this.alone?.cancel();
    this.joinPatience?.cancel();
    this.options.clock.cancel(this.ringing);
    this.filler.play(undefined);
    this.tail?.close();
    this.settle?.reject(new GatewayError('GW_STREAM_LEFT', 'The caller hung up before the join completed'));
    const { participant } = this;
    this.participant = undefined;
    const leaving = participant?.leave();
    this.onClose?.();
    return leaving;
  }

  private async appear(): Promise<void> {
    if (!this.isPresent) {
      this.isPresent = true;
      // The time spent ringing does not count as waiting.
      this.limitJoin();
      this.participant?.appear();
    }
    await this.settled;
  }

  /** Starts the timeout for joining. */
  private limitJoin(reason = 'the time was over'): void {
    this.joinPatience?.cancel();
    this.joinPatience = this.isClosed
      ? undefined
      : this.options.clock.timeout(this.options.joinMs, () => this.fail(reason));
  }

  private unlimitJoin(): void {
    this.joinPatience?.cancel();
    this.joinPatience = undefined;
  }

  /** Whether it is in its call now. */
  get isIn(): boolean {
    return this.isJoined && !this.isClosed;
  }

  private place(): void {
    if (this.isClosed) return;
    this.attempts += 1;
    const { apiKey, baseUrl, watchdogMs, administration, host } = this.options;
    const { id, name } = this.user;
    // A lost participant may still report events; only the latest one counts.
    let placed: PlacedParticipant | undefined;
    const isCurrent = () => !this.isClosed && this.participant === placed;
    const listener: ParticipantListener = {
      write: (frame, stamp) => {
        if (!isCurrent()) return;
        this.filler.pause();
        this.line.write(frame, stamp);
        this.tail?.pushFrame(frame);
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
      muted: (isMuted, by, userId) => {
        if (isCurrent()) this.muted(isMuted, by, userId);
      },
      event: (custom, userId, role) => {
        if (isCurrent()) this.obey(custom, userId, role);
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
        ...(this.wasLost ? { isBack: true } : {}),
        watchdogMs,
      },
      listener,
    );
    this.participant = placed;
    if (this.isPresent) placed.appear();
  }

  /** A ringing phone has no timeout. */
  private prepared(): void {
    if (this.isPresent) return;
    this.attempts = 0;
    this.isRefused = false;
    this.unlimitJoin();
  }

  private joined(): void {
    const lostForMs = this.options.clock.now() - this.lostAt;
    if (this.isJoined) return;
    this.isJoined = true;
    this.isRefused = false;
    this.settle?.resolve();
    this.unlimitJoin();
    this.options.clock.cancel(this.ringing);
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
      this.settle?.reject(new GatewayError('GW_STREAM_CALL_ENDED', `The Stream call has ended: ${reason}`));
      this.options.log.info({ callId: this.callId, reason }, 'the Stream call is over');
      // A transfer that is under way goes ahead even when the call ends.
      this.tail?.end();
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
      // The first refusal may come from a part of Stream that does not know the user or the call yet.
      this.isRefused = true;
      this.options.administration.noteRetry(`the join: ${reason}`);
    }
    if (this.isJoined) {
      this.isJoined = false;
      this.wasLost = true;
      this.filler.play(undefined);
      this.alone?.cancel();
      this.attempts = 0;
      this.lostAt = this.options.clock.now();
      this.options.log.warn({ callId: this.callId, reason }, 'lost the Stream call');
    }
    if (this.joinPatience === undefined) this.limitJoin(reason);
    const pause = PAUSES_MS[Math.min(this.attempts, PAUSES_MS.length - 1)] as number;
    this.retry = this.options.clock.after(pause, () => this.place());
  }

  /** The time to join is over, or Stream refuses the phone. */
  private fail(reason: string): void {
    const { type, id } = this.name;
    this.failWith(
      new GatewayError('GW_STREAM_JOIN', `Stream call ${type}:${id} could not be joined: ${reason}`),
    );
  }

  private forbid(permission: string): void {
    this.failWith(new GatewayError('GW_STREAM_PERMISSION', this.lacks(permission)));
  }

  private failWith(error: GatewayError): void {
    if (!this.wasLost && this.isPresent) {
      this.settle?.reject(error);
      return;
    }
    // No promise is pending, so the caller hears an announcement.
    this.close();
    this.line.fail(error);
  }

  private countOthers(count: number): void {
    this.others = count;
    this.waitForOthers();
  }

  /** Plays ringback to a caller who waits for the first join. */
  private ring(): void {
    const now = this.options.clock.now();
    if (!this.line.isLive) return;
    this.waitsSince ??= now;
    if (now - this.waitsSince < RING_AFTER_MS) return;
    this.options.clock.cancel(this.ringing);
    this.filler.play('ringback');
  }

  /** Hangs up a phone that stays alone in its call. */
  private waitForOthers(): void {
    this.alone?.cancel();
    this.alone = undefined;
    if (this.isClosed || !this.isJoined) return;
    const isAlone = this.others === 0;
    this.filler.play(isAlone && this.options.comfortNoise ? 'comfort-noise' : undefined);
    if (!isAlone) return;
    this.alone = this.options.clock.timeout(this.options.aloneMs, () => {
      if (!this.line.isLive) {
        // The callee has yet to answer.
        this.waitForOthers();
        return;
      }
      this.options.log.info({ callId: this.callId }, 'left alone in the Stream call');
      this.close();
      this.line.hangUp();
    });
  }

  /** Executes a command from the call. */
  private obey(custom: unknown, userId: string, role: string): void {
    const read = readCommand(custom, this.user.id);
    if (read === undefined) return;
    if (!this.options.mayCommand(userId, role)) {
      this.ignore('refused' in read ? read.refused : read.command.type, userId, role);
      return;
    }
    if ('refused' in read) {
      this.refuse(read.refused, 'GW_PHONE_COMMAND', read.message);
      return;
    }
    const { command } = read;
    this.options.log.info({ callId: this.callId, command: command.type, by: userId }, 'command');
    this.attempt(command.type, () => this.carryOut(command, userId));
  }

  /** A user without the permission gets no answer, and one line in the log. */
  private ignore(command: string, by: string, role: string): void {
    this.options.onIgnored?.();
    if (this.hasIgnored) return;
    this.hasIgnored = true;
    this.options.log.warn(
      { callId: this.callId, command, by, role },
      'a command of somebody who may give none was ignored, as more of them in this call will be',
    );
  }

  /** Leaves once all earlier audio has been heard. The first request wins. */
  private afterWords(command: PhoneCommand['type'], work: () => void): void {
    this.tail ??= new Tail(this.options.clock, () => {
      this.tail = undefined;
      this.attempt(command, work);
    });
  }

  /** Publishes a failure in the call. */
  private attempt(command: PhoneCommand['type'], work: () => void): void {
    try {
      work();
    } catch (error) {
      const known = error instanceof GatewayError;
      if (!known) this.options.log.error({ callId: this.callId, err: error }, 'a command failed');
      this.refuse(command, known ? error.code : 'GW_INTERNAL', known ? error.message : 'it failed');
    }
  }

  private carryOut(command: PhoneCommand, userId: string): void {
    const { line } = this;
    switch (command.type) {
      case 'phone.clear': {
        const { playedMs, discardedMs } = line.clear();
        this.publish({
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
        this.mute(command.type === 'phone.mute', 'command', userId);
        break;
      case 'phone.hangup':
        if (command.after === 'now') line.hangUp({ now: true });
        else this.afterWords(command.type, () => line.hangUp());
        break;
      case 'phone.transfer':
        this.checkTransfer(command.to);
        this.afterWords(command.type, () => line.transfer(command.to));
        break;
    }
  }

  /** Mutes the phone in its call, or unmutes it if it may speak. */
  private mute(isMuted: boolean, by: 'command' | 'keypad', userId?: string): void {
    // Kept here: a participant that replaces this one must stay muted.
    this.isMuted = isMuted;
    this.muter = { by, userId };
    this.participant?.mute(isMuted);
    if (!isMuted && this.isForbidden)
      throw new GatewayError('GW_STREAM_PERMISSION', this.lacks('send-audio'));
  }

  /** Publishes the change if it affects what is heard. */
  private muted(isMuted: boolean, by: MutedBy, userId: string | undefined): void {
    if (by === 'permission') this.isForbidden = isMuted;
    else this.isMuted = isMuted;
    const isSilent = this.isMuted || this.isForbidden;
    if (isSilent === this.isSilent) return;
    this.isSilent = isSilent;
    const who = by === 'leg' ? this.muter : { by, userId };
    this.options.log.info({ callId: this.callId, isMuted: isSilent, ...who }, 'muted');
    this.publish({
      type: isSilent ? 'phone.muted' : 'phone.unmuted',
      by: who.by,
      ...(who.userId === undefined ? {} : { user: who.userId }),
    });
  }

  private lacks(permission: string): string {
    const { type, id } = this.name;
    return `User ${this.user.id} lacks the permission ${permission} in Stream call ${type}:${id}`;
  }

  private checkTransfer(to: string): void {
    if (this.options.mayTransfer(to)) return;
    throw new GatewayError('GW_TRANSFER_REFUSED', 'Transfers to this number are not allowed');
  }

  private refuse(command: string, code: string, message: string): void {
    this.publish({ type: 'phone.error', command, code, message });
  }

  /** Sends an event to everybody in the call, in order. */
  private publish(event: PhoneEvent): void {
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

/** The permission that Stream's refusal names: `JoinCall`, which its settings call `join-call`. */
function permissionIn(reason: string): string | undefined {
  const action = /not allowed to perform action (\w+)/.exec(reason)?.[1];
  return action?.replace(/\B[A-Z]/g, '-$&').toLowerCase();
}
