import { GatewayError } from '../../errors.js';
import type { MarkPlace, Program, ProgramLeg } from '../bridge.js';
import { RoomMember } from './member.js';
import type { PhoneMember } from './phone-member.js';
import type { Room } from './room.js';

/** A program in a room. */
export class ProgramMember extends RoomMember implements ProgramLeg {
  constructor(
    room: Room,
    readonly program: Program,
    /** Whether it hears all members and says nothing. */
    readonly onlyListens: boolean,
  ) {
    super(room, { isLive: true, write: (frame, stamp) => program.write(frame, stamp) });
  }

  get phones(): string[] {
    return this.room.phones.filter((phone) => phone.isThere).map((phone) => phone.callId);
  }

  get aheadMs(): number {
    return this.room.aheadMs;
  }

  override write(frame: Int16Array, stamp: number): void {
    if (!this.onlyListens) super.write(frame, stamp);
  }

  endTalkspurt(): void {
    this.talks = false;
    this.room.monitor.stopWaitingFor(this);
  }

  clear(): number {
    if (this.isWaiting) this.queue.clear();
    this.room.monitor.forget(this);
    let discardedMs = 0;
    for (const { line } of this.room.phones) {
      if (line.isLive) discardedMs = Math.max(discardedMs, line.clear().discardedMs);
    }
    return discardedMs;
  }

  mark(done: (place: MarkPlace) => void): void {
    const [phone, another] = this.room.phones.filter(({ isLive }) => isLive);
    if (phone === undefined || another !== undefined) {
      done('sent');
      return;
    }
    try {
      phone.marks.place(done);
    } catch (error) {
      // A phone with too many pending marks, or one that is leaving, never reaches this mark.
      if (!(error instanceof GatewayError)) throw error;
      done('sent');
    }
  }

  get leadMs(): number {
    return this.room.leadMs;
  }

  hangUp(callId?: string, now = false): number {
    const phones = this.phonesOf(callId);
    for (const { line } of phones) line.hangUp({ now });
    return phones.length;
  }

  transfer(to: string, callId?: string): number {
    const phones = this.phonesOf(callId);
    for (const { line } of phones) line.transfer(to);
    return phones.length;
  }

  private phonesOf(callId: string | undefined): PhoneMember[] {
    return this.room.phones.filter((phone) => callId === undefined || phone.callId === callId);
  }
}
