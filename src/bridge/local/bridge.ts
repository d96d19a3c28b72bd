import type { Bridge, BridgeLeg, JoinRequest, PhoneLine } from '../bridge.js';
import { Room } from './room.js';

/** Rooms within this process: no account, no network. A room lives as long as somebody is in it. */
export class LocalBridge implements Bridge {
  readonly name = 'local';
  private readonly rooms = new Map<string, Room>();

  async join(request: JoinRequest, line: PhoneLine): Promise<BridgeLeg> {
    request.signal.throwIfAborted();
    let room = this.rooms.get(request.room);
    if (room === undefined) {
      room = new Room(() => this.rooms.delete(request.room));
      this.rooms.set(request.room, room);
    }
    return room.join(line);
  }

  async close(): Promise<void> {
    this.rooms.clear();
  }
}
