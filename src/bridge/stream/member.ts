import type { Clock, Timeout, Timer } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import type { IngressTime } from '../../telemetry/ingress-time.js';
import type { Logger } from '../../telemetry/log.js';
import type { BridgeUser } from '../bridge.js';
import type { Administration } from './administration.js';
import type { CallName } from './call-name.js';
import type { MediaHost } from './media-host.js';
import type { Departure, MutedBy, ParticipantListener, PlacedParticipant } from './participant.js';

export interface MemberOptions {
  readonly apiKey: string;
  readonly baseUrl?: string | undefined;
  readonly administration: Administration;
  readonly host: MediaHost;
  readonly log: Logger;
  readonly clock: Clock;
  /** Longest time to join, initially and after a loss, in milliseconds. */
  readonly joinMs: number;
  readonly watchdogMs: number;
  /** Called for each rejoin after a loss. */
  readonly onRejoin?: () => void;
}

/** Pauses between attempts to join; the last one repeats. After the first loss there is none. */
const PAUSES_MS = [0, 250, 500, 1_000, 2_000];

/**
 * A participant of a Stream call on behalf of this gateway. It stays for the whole call, across lost workers, servers and
 * connections. @internal
 */
export abstract class StreamMember {
  protected participant: PlacedParticipant | undefined;
  protected isClosed = false;
  protected isJoined = false;
  /** Whether it should be visible in its call. */
  protected isPresent = false;
  protected wasLost = false;
  /** Called once, when either side closes it. */
  onClose: (() => void) | undefined;
  /** Whether Stream refused the last attempt to join. */
  private isRefused = false;
  private attempts = 0;
  private lostAt: number;
  private retry: Timer | undefined;
  private joinPatience: Timeout | undefined;
  private readonly settled: Promise<void>;
  private settle: { resolve(): void; reject(error: unknown): void } | undefined;

  constructor(
    /** For the log. */
    protected readonly callId: string,
    readonly user: BridgeUser,
    protected readonly name: CallName,
    protected readonly options: MemberOptions,
    /** Whether it publishes nothing. */
    protected readonly onlyListens = false,
  ) {
    this.lostAt = options.clock.now();
    this.settled = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.settled.catch(() => {});
  }

  /** Whether it is in its call now. */
  get isIn(): boolean {
    return this.isJoined && !this.isClosed;
  }

  /**
   * Prepares to join, or joins for the first time.
   * @param isPresent whether it becomes visible now; otherwise once it is to {@link appear}
   * @throws GatewayError `GW_STREAM_JOIN` when the time is over, `GW_STREAM_PERMISSION`, `GW_STREAM_REFUSED` and `GW_STREAM_UNAVAILABLE`
   */
  async join(signal: AbortSignal, isPresent: boolean): Promise<void> {
    const giveUp = () => this.shut();
    signal.addEventListener('abort', giveUp);
    this.limitJoin();
    try {
      await Promise.race([this.options.administration.prepare(this.user, this.name, signal), this.settled]);
      this.place();
      if (isPresent) await this.appear();
    } catch (error) {
      this.shut();
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  write(frame: Int16Array, stamp: IngressTime): void {
    this.participant?.write(frame, stamp);
  }

  /** Leaves; idempotent. */
  close(): Promise<void> | undefined {
    return this.shut();
  }

  /** Leaves at once, for whatever reason; idempotent. */
  protected shut(): Promise<void> | undefined {
    if (this.isClosed) return undefined;
    this.isClosed = true;
    this.options.clock.cancel(this.retry);
    this.joinPatience?.cancel();
    this.settle?.reject(new GatewayError('GW_STREAM_LEFT', 'The caller hung up before the join completed'));
    const { participant } = this;
    this.participant = undefined;
    const leaving = participant?.leave();
    this.onClose?.();
    return leaving;
  }

  /** Takes 20 ms of the call. */
  protected abstract hear(frame: Int16Array, stamp: IngressTime, loudness: number): void;

  /** The call has ended for it; it is closed next. */
  protected abstract callEnded(): void;

  /** It has failed for good, and no promise of its join is pending: it is closed. */
  protected abstract failed(error: GatewayError): void;

  /** It is represented by this participant from now on, which has yet to join. */
  protected placed(_participant: PlacedParticipant): void {}

  /** It is in its call, for the first time or again. */
  protected entered(): void {}

  /** It is no longer in its call, and joins again. */
  protected lost(): void {}

  protected countOthers(_count: number): void {}

  protected muted(_isMuted: boolean, _by: MutedBy, _userId: string | undefined): void {}

  protected obey(_custom: unknown, _userId: string, _role: string): void {}

  protected tonesRefused(_message: string): void {}

  /**
   * Becomes visible in its call.
   * @throws GatewayError if it cannot join
   */
  protected async appear(): Promise<void> {
    if (!this.isPresent) {
      this.isPresent = true;
      // The time spent ringing does not count as waiting.
      this.limitJoin();
      this.participant?.appear();
    }
    await this.settled;
  }

  /** The error for a permission that it lacks in its call. */
  protected lacks(permission: string): GatewayError {
    const { type, id } = this.name;
    const message = `User ${this.user.id} lacks the permission ${permission} in Stream call ${type}:${id}`;
    return new GatewayError('GW_STREAM_PERMISSION', message);
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

  private place(): void {
    if (this.isClosed) return;
    this.attempts += 1;
    const { apiKey, baseUrl, watchdogMs, administration, host } = this.options;
    const { id, name } = this.user;
    // A lost participant may still report events; only the latest one counts.
    let placed: PlacedParticipant | undefined;
    const isCurrent = () => !this.isClosed && this.participant === placed;
    const listener: ParticipantListener = {
      write: (frame, stamp, loudness) => {
        if (isCurrent()) this.hear(frame, stamp, loudness);
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
        if (isCurrent()) this.tonesRefused(message);
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
        ...(this.onlyListens ? { onlyListens: true } : {}),
        watchdogMs,
      },
      listener,
    );
    this.participant = placed;
    this.placed(placed);
    if (this.isPresent) placed.appear();
  }

  /** Until it is to appear there is no timeout. */
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
    this.entered();
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
      this.callEnded();
      return;
    }
    if (departure === 'forbidden' || (departure === 'refused' && this.isRefused)) {
      this.wasLost ||= this.isJoined;
      const permission = departure === 'forbidden' ? reason : permissionIn(reason);
      if (permission === undefined) this.fail(reason);
      else this.failWith(this.lacks(permission));
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
      this.attempts = 0;
      this.lostAt = this.options.clock.now();
      this.lost();
      this.options.log.warn({ callId: this.callId, reason }, 'lost the Stream call');
    }
    if (this.joinPatience === undefined) this.limitJoin(reason);
    const pause = PAUSES_MS[Math.min(this.attempts, PAUSES_MS.length - 1)] as number;
    this.retry = this.options.clock.after(pause, () => this.place());
  }

  /** The time to join is over, or Stream refuses it. */
  private fail(reason: string): void {
    const { type, id } = this.name;
    this.failWith(
      new GatewayError('GW_STREAM_JOIN', `Stream call ${type}:${id} could not be joined: ${reason}`),
    );
  }

  private failWith(error: GatewayError): void {
    if (!this.wasLost && this.isPresent) {
      this.settle?.reject(error);
      return;
    }
    // No promise is pending.
    this.shut();
    this.failed(error);
  }
}

/** The permission that Stream's refusal names: `JoinCall`, which its settings call `join-call`. */
function permissionIn(reason: string): string | undefined {
  const action = /not allowed to perform action (\w+)/.exec(reason)?.[1];
  return action?.replace(/\B[A-Z]/g, '-$&').toLowerCase();
}
