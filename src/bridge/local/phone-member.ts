import type { MarkEcho } from '../../phone/marks.js';
import type { AnsweredFacts, BridgeLeg, PhoneLine } from '../bridge.js';
import { RoomMember } from './member.js';
import type { Room } from './room.js';

/** What became of a mark: its audio was heard or dropped. */
export type MarkFate = 'heard' | 'cleared';

/** Shared by all rooms: a call that moves to another room has pending marks of both. */
let markSerial = 0;

/** A phone in a room. */
export class PhoneMember extends RoomMember implements BridgeLeg {
  /** Pending marks of programs, by their name at the phone. */
  private readonly marks = new Map<string, (fate: MarkFate) => void>();
  private wasHeard = false;
  private facts: AnsweredFacts | undefined;

  constructor(
    room: Room,
    readonly line: PhoneLine,
    readonly callId: string,
  ) {
    super(room, line);
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

  /**
   * Places a mark behind all audio queued for this phone.
   * @throws as {@link PhoneLine.mark}
   */
  mark(done: (fate: MarkFate) => void): void {
    markSerial += 1;
    const name = `leg:${markSerial}`;
    this.line.mark(name);
    this.marks.set(name, done);
  }

  marked({ name, cleared }: MarkEcho): void {
    const done = this.marks.get(name);
    this.marks.delete(name);
    done?.(cleared ? 'cleared' : 'heard');
  }

  override close(): void {
    if (this.hasLeft) return;
    super.close();
    for (const done of this.marks.values()) done('cleared');
    this.marks.clear();
    if (this.wasHeard) for (const program of this.room.programs) program.phoneLeft(this.callId);
  }
}
