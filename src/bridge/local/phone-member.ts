import type { MarkEcho } from '../../phone/marks.js';
import type { AnsweredFacts, BridgeLeg, PhoneLine } from '../bridge.js';
import { RoomMember } from './member.js';
import type { Room } from './room.js';

/** How a mark came back: its audio was heard, or taken back before. */
export type MarkFate = 'heard' | 'cleared';

/** Of all rooms: a call that goes from one to another has marks of both on their way. */
let markSerial = 0;

/** A phone in a room. */
export class PhoneMember extends RoomMember implements BridgeLeg {
  /** Marks of programs on their way, by what the phone calls them. */
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

  /** Whether programs know of it: from its first frame until it leaves. */
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

  /** In a room of phones a key is heard as the tone it made; programs are told which one it was. */
  dtmf(digit: string): void {
    for (const program of this.room.programs) program.pressed(this.callId, digit);
  }

  /**
   * Places a mark behind all audio for this phone.
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
