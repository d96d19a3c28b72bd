import type { Bridge, BridgeLeg, JoinRequest, PhoneLine } from '../bridge.js';
import { Room } from './room.js';

/** Rooms within this process: no account, no network. A room lives as long as somebody is in it. */
export class LocalBridge implements Bridge {
  readonly name = 'local';
  private readonly rooms = new Map<string, Room>();

  /** Rooms with somebody in them. */
  get roomCount(): number {
    return this.rooms.size;
  }

  async join(request: JoinRequest, line: PhoneLine): Promise<BridgeLeg> {
    request.signal.throwIfAborted();
    let room = this.rooms.get(request.room);
    if (room === undefined) {
      room = new Room(request.room);
      this.rooms.set(request.room, room);
    }
    const member = room.join(line);
    return {
      write: (frame, stamp) => member.write(frame, stamp),
      dtmf: () => member.dtmf(),
      close: () => {
        member.close();
        if (room.size === 0 && this.rooms.get(room.name) === room) this.rooms.delete(room.name);
      },
    };
  }

  async close(): Promise<void> {
    this.rooms.clear();
  }
}
