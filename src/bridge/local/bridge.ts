import { DEFAULT_LEAD_MS, FRAME_MS } from '../../media/frame.js';
import type { Bridge, BridgeLeg, JoinRequest, PhoneLine, Program, ProgramLeg } from '../bridge.js';
import { Room } from './room.js';

/** Sending further ahead of a phone would only cover stalls that no call should have. */
const MAX_PROGRAM_AHEAD_MS = 200;

/** Rooms within this process, without an account or network. A room exists while it has members. */
export class LocalBridge implements Bridge {
  readonly name = 'local';
  private readonly rooms = new Map<string, Room>();

  /** @param leadMs the lead limit of the phones' media streams in milliseconds; default 120 */
  constructor(private readonly leadMs: number = DEFAULT_LEAD_MS) {}

  /**
   * Joins a phone to a room.
   * @throws the reason of `request.signal` if it is aborted
   */
  async join(request: JoinRequest, line: PhoneLine): Promise<BridgeLeg> {
    request.signal.throwIfAborted();
    return this.room(request.room).join(line, request.callId);
  }

  /**
   * Joins a program to a room.
   * @param onlyListens the program hears all members, says nothing and does not count as a member
   */
  joinProgram(room: string, program: Program, onlyListens: boolean): ProgramLeg {
    return this.room(room).joinProgram(program, onlyListens);
  }

  /** Forgets all rooms; called after every call has ended. */
  async close(): Promise<void> {
    this.rooms.clear();
  }

  private room(name: string): Room {
    let room = this.rooms.get(name);
    if (room === undefined) {
      room = new Room(() => this.rooms.delete(name), Math.min(this.leadMs - FRAME_MS, MAX_PROGRAM_AHEAD_MS));
      this.rooms.set(name, room);
    }
    return room;
  }
}
