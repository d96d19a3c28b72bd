import type { Clock } from '../../src/clock.js';
import { SupervisedPeers } from '../../src/workers/peers.js';
import { PostOffice } from '../../src/workers/post-office.js';

/** A supervisor's post office and workers in this process: messages are JSON, in order, and arrive in a later turn. */
export interface Workers {
  readonly office: PostOffice;
  /** Adds a worker, which does not serve yet. @param place default: its number */
  add(place?: number): SupervisedPeers;
  /** The worker is gone at once, as if its process had died. */
  kill(peers: SupervisedPeers): void;
}

export function workersInMemory(clock: Clock): Workers {
  const fault = (error: unknown) => {
    throw error;
  };
  const office = new PostOffice(fault);
  const alive = new Map<number, SupervisedPeers>();
  let last = 0;
  const deliver = (message: unknown, to: (message: unknown) => void) => {
    const text = JSON.stringify(message);
    setImmediate(() => to(JSON.parse(text)));
  };
  return {
    office,
    add(place) {
      last += 1;
      const self = last;
      const peers = new SupervisedPeers(
        self,
        place ?? self,
        {
          send: (message) => {
            if (!alive.has(self)) return false;
            deliver(message, (received) => alive.has(self) && office.receive(self, received));
            return true;
          },
        },
        clock,
        fault,
      );
      alive.set(self, peers);
      office.add(self, {
        send: (message) => {
          if (!alive.has(self)) return false;
          deliver(message, (received) => alive.get(self)?.receive(received));
          return true;
        },
      });
      return peers;
    },
    kill(peers) {
      alive.delete(peers.self);
      office.remove(peers.self);
      peers.disconnected();
    },
  };
}
