import type { Bridge, BridgeLeg, PhoneLine } from '../bridge/bridge.js';
import { NO_INGRESS_TIME } from '../telemetry/ingress-time.js';

/** A participant that echoes what it hears. */
export class EchoAgent {
  private leg: BridgeLeg | undefined;
  private readonly leaving = new AbortController();

  /** Fulfilled when it is in the call. */
  async join(bridge: Bridge, room: string): Promise<void> {
    this.leg = await bridge.join(
      {
        callId: `agent-${room}`,
        room,
        user: { id: `agent-${room.replace(':', '-')}`, name: 'Echo agent' },
        signal: this.leaving.signal,
      },
      this.line(),
    );
    if (this.leaving.signal.aborted) this.leg.close();
  }

  leave(): void {
    this.leaving.abort();
    this.leg?.close();
  }

  private line(): PhoneLine {
    return {
      isLive: true,
      write: (frame) => this.leg?.write(frame, NO_INGRESS_TIME),
      clear: () => ({ playedMs: 0, discardedMs: 0 }),
      mark() {},
      transfer() {},
      hangUp: () => this.leave(),
      fail: () => this.leave(),
    };
  }
}
