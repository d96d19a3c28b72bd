import type { Timeout, Timer } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import type { FrameClock } from '../../media/frame-clock.js';
import type { MarkEcho } from '../../phone/marks.js';
import {
  type IngressTime,
  ingressNow,
  ingressTicksBetween,
  NO_INGRESS_TIME,
} from '../../telemetry/ingress-time.js';
import type { AnsweredFacts, BridgeLeg, BridgeUser, PhoneLine } from '../bridge.js';
import { Filler } from '../filler.js';
import { LineMarks } from '../line-marks.js';
import type { CallName } from './call-name.js';
import type { CommandRule, TransferRule } from './command-rule.js';
import { Envelope } from './envelope.js';
import { firstLoudness, secondLoudness } from './loudness.js';
import { type MemberOptions, StreamMember } from './member.js';
import type { MutedBy, PlacedParticipant } from './participant.js';
import { type PhoneCommand, type PhoneEvent, readCommand } from './phone-events.js';
import type { StreamRoom } from './room.js';
import { Tail } from './tail.js';

export interface StreamLegOptions extends MemberOptions {
  /** Longest time alone in the call, in milliseconds. */
  readonly aloneMs: number;
  readonly mayTransfer: TransferRule;
  readonly mayCommand: CommandRule;
  readonly frameClock: FrameClock;
  /** Whether a slow join plays ringback to the caller. */
  readonly ringback: boolean;
  /** Whether a caller who is alone in the call hears comfort noise. */
  readonly comfortNoise: boolean;
  /** Key sequence by which the caller mutes and unmutes the phone in its call; none by default. */
  readonly muteKey?: string | undefined;
  /** Called for each command of a user without the permission. */
  readonly onIgnored?: () => void;
}

/** A join that takes longer plays ringback. */
const RING_AFTER_MS = 2_000;
const RING_LOOK_MS = 100;
/** Keys further apart do not form a sequence. */
const KEYS_MS = 3_000;
/** Most events that wait to be sent to Stream. */
const MAX_PENDING_EVENTS = 100;

/** A phone in a Stream call. @internal */
export class StreamLeg extends StreamMember implements BridgeLeg {
  /** What programs have pending at the phone. */
  readonly marks: LineMarks;
  /** How loud the programs of the room are heard here. */
  readonly envelope = new Envelope();
  /** Whether the phone was answered and hears the call. */
  isAnswered = false;
  /** Whether it hears a program of its room. */
  hearsProgram = false;
  /** Audio that reached a media worker earlier was cleared. */
  private clearedAt: IngressTime = NO_INGRESS_TIME;
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
  /** Whether a user without the permission has sent a command. */
  private hasIgnored = false;
  private alone: Timeout | undefined;
  private others = 0;
  /** Audio still to be heard before the phone is hung up or transferred. */
  private tail: Tail | undefined;
  private pendingEvents = 0;
  private events: Promise<void> = Promise.resolve();

  constructor(
    callId: string,
    user: BridgeUser,
    name: CallName,
    readonly line: PhoneLine,
    private readonly room: StreamRoom,
    protected override readonly options: StreamLegOptions,
  ) {
    super(callId, user, name, options);
    this.marks = new LineMarks(line);
    this.filler = new Filler(line, options.clock, options.frameClock);
    if (options.ringback) this.ringing = options.clock.every(RING_LOOK_MS, () => this.ring());
    room.addPhone(this);
  }

  /** The call's id. */
  get id(): string {
    return this.callId;
  }

  /** Whether it is visible in its call, or about to be. */
  get isAppearing(): boolean {
    return this.isPresent && !this.isClosed;
  }

  /**
   * The call was answered: the phone joins, if it has not yet, and the Stream call gets the event.
   * @throws GatewayError `GW_STREAM_JOIN`, `GW_STREAM_CALL_ENDED`
   */
  async answered(facts: AnsweredFacts): Promise<void> {
    try {
      await this.appear();
    } catch (error) {
      this.close();
      throw error;
    }
    await this.room.programsReady(this);
    if (this.isClosed) return;
    const { direction, ringSeconds, isContinued } = facts;
    if (!isContinued) {
      this.publish({
        type: 'phone.answered',
        ...(direction === undefined ? {} : { direction }),
        ...(ringSeconds === undefined ? {} : { ring_seconds: ringSeconds }),
      });
    }
    this.isAnswered = true;
    for (const { program } of this.room.programs) program.phoneJoined(this.callId, facts);
  }

  override write(frame: Int16Array, stamp: IngressTime): void {
    if (!this.isMuted) super.write(frame, stamp);
  }

  dtmf(digit: string): void {
    for (const { program } of this.room.programs) program.pressed(this.callId, digit);
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

  marked(echo: MarkEcho): void {
    if (this.marks.reached(echo)) return;
    const { name, playedMs, cleared } = echo;
    this.publish({ type: 'phone.marked', name, played_ms: Math.round(playedMs), cleared });
  }

  protected override shut(): Promise<void> | undefined {
    if (this.isClosed) return undefined;
    this.alone?.cancel();
    this.options.clock.cancel(this.ringing);
    this.filler.play(undefined);
    this.tail?.close();
    const leaving = super.shut();
    this.marks.close();
    this.room.removePhone(this);
    return leaving;
  }

  /**
   * Drops what is queued at the phone, and what a program said that has yet to arrive.
   * @param hushMs how long that program is not heard
   * @returns milliseconds of audio dropped at the phone
   */
  clear(userId: string, hushMs: number): number {
    this.clearedAt = ingressNow(this.options.clock);
    this.hush(userId, hushMs);
    return this.line.clear().discardedMs;
  }

  /** Leaves a program out of what the phone hears for so many milliseconds from now. */
  hush(userId: string, ms: number): void {
    this.participant?.hush(userId, ms);
  }

  /** The programs of the room have changed. */
  followPrograms(): void {
    this.participant?.followPrograms(this.room.talkers);
  }

  protected override placed(participant: PlacedParticipant): void {
    const { talkers } = this.room;
    if (talkers.length > 0) participant.followPrograms(talkers);
  }

  protected override async appear(): Promise<void> {
    const appearing = super.appear();
    this.room.phoneAppears();
    await appearing;
  }

  protected hear(frame: Int16Array, stamp: IngressTime, loudness: number): void {
    this.filler.pause();
    if (loudness !== 0) {
      this.hearsProgram = true;
      const now = this.options.clock.now();
      this.envelope.push(firstLoudness(loudness), secondLoudness(loudness), now);
      this.room.programHeard(this);
    }
    if (this.isStale(stamp)) return;
    this.line.write(frame, stamp);
    this.tail?.pushFrame(frame);
  }

  protected callEnded(): void {
    // A transfer that is under way goes ahead even when the call ends.
    this.tail?.end();
    this.close();
    this.line.hangUp();
  }

  /** The caller hears an announcement. */
  protected failed(error: GatewayError): void {
    this.line.fail(error);
  }

  protected override entered(): void {
    this.options.clock.cancel(this.ringing);
    if (this.isMuted) this.participant?.mute(true);
    this.waitForOthers();
  }

  protected override lost(): void {
    this.hearsProgram = false;
    this.filler.play(undefined);
    this.alone?.cancel();
  }

  protected override tonesRefused(message: string): void {
    this.refuse('phone.dtmf', 'GW_DTMF_QUEUE_FULL', message);
  }

  /** Whether a frame left its media worker before the latest clear. */
  private isStale(stamp: IngressTime): boolean {
    if (this.clearedAt === NO_INGRESS_TIME) return false;
    if (ingressTicksBetween(this.clearedAt, stamp) < 0) return true;
    this.clearedAt = NO_INGRESS_TIME;
    return false;
  }

  protected override countOthers(count: number): void {
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
  protected override obey(custom: unknown, userId: string, role: string): void {
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
    if (!isMuted && this.isForbidden) throw this.lacks('send-audio');
  }

  /** Publishes the change if it affects what is heard. */
  protected override muted(isMuted: boolean, by: MutedBy, userId: string | undefined): void {
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
