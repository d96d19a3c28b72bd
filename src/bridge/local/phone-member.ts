import type { MarkEcho } from '../../phone/marks.js';
import type { AnsweredFacts, BridgeLeg, PhoneLine } from '../bridge.js';
import { LineMarks } from '../line-marks.js';
import { RoomMember } from './member.js';
import type { Room } from './room.js';

/** A phone in a room. */
export class PhoneMember extends RoomMember implements BridgeLeg {
  readonly marks: LineMarks;
  private wasHeard = false;
  private facts: AnsweredFacts | undefined;

  constructor(
    room: Room,
    readonly line: PhoneLine,
    readonly callId: string,
  ) {
    super(room, line);
    this.marks = new LineMarks(line);
  }

  /** Whether programs have been notified of it: from its first frame until it leaves. */
  get isThere(): boolean {
    return this.wasHeard && !this.hasLeft;
  }

  override write(frame: Int16Array, stamp: number): void {
    if (!this.wasHeard && !this.hasLeft) {
      this.wasHeard = true;
      for (const program of this.room.programs) program.phoneJoined(this.callId, this.facts);
    }
    super.write(frame, stamp);
  }

  answered(facts: AnsweredFacts): void {
    this.facts = facts;
  }

  /** Phones hear a key as its tone; programs receive the digit. */
  dtmf(digit: string): void {
    for (const program of this.room.programs) program.pressed(this.callId, digit);
  }

  marked(echo: MarkEcho): void {
    this.marks.reached(echo);
  }

  override close(): void {
    if (this.hasLeft) return;
    super.close();
    this.marks.close();
    if (this.wasHeard) for (const program of this.room.programs) program.phoneLeft(this.callId);
  }
}
