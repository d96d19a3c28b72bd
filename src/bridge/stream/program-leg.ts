import type { Timer } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import { FRAME_SAMPLES } from '../../media/frame.js';
import { type IngressTime, NO_INGRESS_TIME } from '../../telemetry/ingress-time.js';
import type { BridgeUser, MarkPlace, Program, ProgramLeg } from '../bridge.js';
import type { CallName } from './call-name.js';
import { Envelope, SLOT_MS } from './envelope.js';
import type { StreamLeg } from './leg.js';
import { loudnessOf } from './loudness.js';
import { type MemberOptions, StreamMember } from './member.js';
import type { StreamRoom } from './room.js';

/**
 * A microphone plays in real time, and listeners' jitter buffers work off what comes early: one frame, and half of one for a
 * late timer.
 */
const AHEAD_MS = 30;
/** Time from this process through the call to a phone of it until it is measured, in milliseconds. */
const USUAL_TRANSIT_MS = 100;
/** Frames that a phone receives between two measurements. */
const MEASURE_FRAMES = 10;
/** Jitter buffers may deepen after a measurement. */
const MARGIN_MS = 30;
/** New audio starts so long after a clear, and old audio may be so late: the beginning of the new is not dropped with it. */
const REST_MS = 40;
/** A clear silences the program at the phones until new audio arrives, at most so long. */
const HUSH_MS = 2_000;
/** After a phone hung up while it rang, its program appears so much later if it is still there. */
const SETTLE_MS = 1_000;
const SILENCE = new Int16Array(FRAME_SAMPLES);
const HALF = FRAME_SAMPLES / 2;

interface PendingMark {
  readonly timer: Timer;
  done(place: MarkPlace): void;
}

/** A program as a participant of a Stream call. @internal */
export class StreamProgram extends StreamMember implements ProgramLeg {
  /** How loud it was sent. */
  private readonly envelope = new Envelope();
  /** Slots from here to each phone, as measured, and frames until the next measurement. */
  private readonly transits = new Map<StreamLeg, { slots: number | undefined; frames: number }>();
  /** Marks whose audio is on its way to the phone. */
  private readonly marks = new Set<PendingMark>();
  private readonly leaving = new AbortController();
  /** Whether it is prepared to appear. */
  private isPlaced = false;
  /** Whether the program has closed it, or was notified of its end. */
  private hasEnded = false;
  private isTalking = false;
  private isHushed = false;
  private spokeAt = Number.NEGATIVE_INFINITY;
  private clearedAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly program: Program,
    user: BridgeUser,
    name: CallName,
    private readonly room: StreamRoom,
    options: MemberOptions,
    onlyListens: boolean,
  ) {
    super(user.id, user, name, options, onlyListens);
    room.addProgram(this);
  }

  /** Whether the call hears it. */
  get talks(): boolean {
    return !this.onlyListens;
  }

  /** Joins in the background: invisibly while the phones of its room ring, else at once. */
  start(): void {
    this.join(this.leaving.signal, false).then(
      () => {
        this.isPlaced = true;
        this.appearIfDue();
      },
      (error) => this.failed(error as GatewayError),
    );
  }

  /** Appears if there is no phone, or one that is in the call. */
  appearIfDue(): void {
    const { phones } = this.room;
    if (!this.isPlaced || this.hasEnded || this.isPresent) return;
    if (phones.length > 0 && !phones.some(({ isAppearing }) => isAppearing)) return;
    this.appear().catch((error) => this.failed(error as GatewayError));
  }

  /** Whether this phone hears it, or need not wait for it. */
  isReadyFor(phone: StreamLeg): boolean {
    return this.hasEnded || !this.talks || (this.isIn && phone.hearsProgram);
  }

  get phones(): string[] {
    return this.room.phones.filter(({ isAnswered }) => isAnswered).map(({ id }) => id);
  }

  get aheadMs(): number {
    return AHEAD_MS;
  }

  get leadMs(): number {
    if (this.options.clock.now() - this.clearedAt < REST_MS) return Number.POSITIVE_INFINITY;
    // Words wait while the participant joins again; before a phone is there they are lost, as in any room.
    return this.isIn || this.phones.length === 0 ? 0 : Number.POSITIVE_INFINITY;
  }

  override write(frame: Int16Array, stamp: IngressTime): void {
    if (this.onlyListens || !this.isIn) return;
    if (this.isHushed) this.endHush();
    this.isTalking = true;
    this.spokeAt = this.options.clock.now();
    this.envelope.push(loudnessOf(frame, 0, HALF), loudnessOf(frame, HALF), this.spokeAt);
    super.write(frame, stamp);
  }

  /** The microphone waits for late frames; a silent one keeps listeners from stretching the last word meanwhile. */
  endTalkspurt(): void {
    if (!this.isTalking) return;
    this.isTalking = false;
    super.write(SILENCE, NO_INGRESS_TIME);
  }

  clear(): number {
    this.participant?.clear();
    this.clearedAt = this.options.clock.now();
    const marks = this.takeMarks();
    // Later, when the program has counted what was not heard.
    queueMicrotask(() => {
      for (const { done } of marks) done('cleared');
    });
    // The oldest sound that somebody on a phone has not heard.
    let from = this.envelope.slotAt(this.clearedAt) - USUAL_TRANSIT_MS / SLOT_MS;
    const phones = this.room.phones.filter(({ isAnswered, line }) => isAnswered && line.isLive);
    phones.forEach((phone, i) => {
      this.measure(phone);
      const slots = this.slotsTo(phone);
      const queuedMs = phone.clear(this.user.id, HUSH_MS);
      const unheard = phone.envelope.end - slots - Math.round(queuedMs / SLOT_MS);
      from = i === 0 ? unheard : Math.min(from, unheard);
    });
    this.isHushed = true;
    return this.envelope.takeFrom(from);
  }

  /** New audio is on its way: phones hear it when it arrives. */
  private endHush(): void {
    this.isHushed = false;
    for (const phone of this.room.phones) {
      phone.hush(this.user.id, Math.max(0, this.slotsTo(phone) * SLOT_MS - REST_MS + SLOT_MS));
    }
  }

  mark(done: (place: MarkPlace) => void): void {
    const [phone, another] = this.room.phones.filter(({ isAnswered }) => isAnswered);
    if (phone === undefined || another !== undefined) {
      done('sent');
      return;
    }
    const place = () => {
      this.marks.delete(mark);
      try {
        if (this.room.phones.includes(phone)) phone.marks.place(done);
        else done('cleared');
      } catch (error) {
        // A phone with too many pending marks, or one that is leaving, never reaches this mark.
        if (!(error instanceof GatewayError)) throw error;
        done('sent');
      }
    };
    const mark = { done, timer: this.options.clock.after(this.transitMs(phone), place) };
    this.marks.add(mark);
  }

  hangUp(callId?: string, now = false): number {
    const phones = this.phonesOf(callId);
    for (const phone of phones) {
      if (now) phone.line.hangUp({ now });
      else this.afterTransit(phone, () => phone.line.hangUp());
    }
    return phones.length;
  }

  transfer(to: string, callId?: string): number {
    const phones = this.phonesOf(callId);
    for (const phone of phones) this.afterTransit(phone, () => phone.line.transfer(to));
    return phones.length;
  }

  /** Leaves once its last words are under way. */
  override close(): undefined {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.clearMarks();
    this.room.removeProgram(this);
    const { clock } = this.options;
    const restMs = this.isIn ? this.spokeAt + USUAL_TRANSIT_MS - clock.now() : 0;
    if (restMs > 0) clock.after(restMs, () => this.closeNow());
    else this.closeNow();
  }

  /** Leaves at once; idempotent. */
  closeNow(): Promise<void> | undefined {
    this.hasEnded = true;
    return this.shut();
  }

  protected override shut(): Promise<void> | undefined {
    this.clearMarks();
    this.room.removeProgram(this);
    this.leaving.abort();
    return super.shut();
  }

  /** A phone has left. */
  phoneGone(phone: StreamLeg): void {
    this.transits.delete(phone);
    if (phone.isAnswered) this.program.phoneLeft(phone.id);
    // A program that was there for this phone has left by then.
    this.options.clock.after(SETTLE_MS, () => this.appearIfDue());
  }

  /** A phone has received a frame with this program's voice, or another's. */
  heardBy(phone: StreamLeg): void {
    let transit = this.transits.get(phone);
    if (transit === undefined) {
      transit = { slots: undefined, frames: MEASURE_FRAMES };
      this.transits.set(phone, transit);
    }
    transit.frames -= 1;
    if (transit.frames > 0) return;
    transit.frames = MEASURE_FRAMES;
    this.measure(phone);
  }

  protected hear(frame: Int16Array, stamp: IngressTime): void {
    this.program.write(frame, stamp);
  }

  protected callEnded(): void {
    this.end();
  }

  protected failed(error: GatewayError): void {
    if (!this.hasEnded)
      this.options.log.warn({ user: this.user.id, err: error }, 'a program could not join its Stream call');
    this.end(error);
  }

  private end(error?: GatewayError): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    void this.shut();
    this.program.roomEnded?.(error);
  }

  /** Takes back the marks whose audio has not arrived. */
  private takeMarks(): PendingMark[] {
    const marks = [...this.marks];
    this.marks.clear();
    for (const { timer } of marks) this.options.clock.cancel(timer);
    return marks;
  }

  private clearMarks(): void {
    for (const { done } of this.takeMarks()) done('cleared');
  }

  private measure(phone: StreamLeg): void {
    const transit = this.transits.get(phone);
    if (transit === undefined || !this.talks) return;
    transit.slots = phone.envelope.lagBehind(this.envelope, transit.slots) ?? transit.slots;
  }

  private phonesOf(callId: string | undefined): StreamLeg[] {
    return this.room.phones.filter(({ id }) => callId === undefined || id === callId);
  }

  /** Runs `work` once the audio so far has arrived at a phone. */
  private afterTransit(phone: StreamLeg, work: () => void): void {
    this.options.clock.after(this.transitMs(phone), () => {
      try {
        work();
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        this.program.commandFailed?.(error);
      }
    });
  }

  private slotsTo(phone: StreamLeg): number {
    return this.transits.get(phone)?.slots ?? USUAL_TRANSIT_MS / SLOT_MS;
  }

  private transitMs(phone: StreamLeg): number {
    return this.slotsTo(phone) * SLOT_MS + MARGIN_MS;
  }
}
