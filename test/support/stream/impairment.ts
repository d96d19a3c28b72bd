import { RtpHeader, RtpPacket } from 'werift';

/** How badly packets are forwarded. */
export interface ImpairmentOptions {
  /** Share of packets lost, 0 to 1. */
  readonly loss?: number;
  readonly delayMs?: number;
  /** On top of the delay, 0 to this many milliseconds, each packet its own: it reorders. */
  readonly jitterMs?: number;
}

/** A bad network between the SFU and those who listen. */
export class Impairment {
  private readonly timers = new Set<NodeJS.Timeout>();
  private options: Required<ImpairmentOptions> = { loss: 0, delayMs: 0, jitterMs: 0 };
  isActive = false;

  set({ loss = 0, delayMs = 0, jitterMs = 0 }: ImpairmentOptions): void {
    this.options = { loss, delayMs, jitterMs };
    this.isActive = loss > 0 || delayMs > 0 || jitterMs > 0;
  }

  /** Lets a packet through: now, later or never. */
  pass(packet: RtpPacket, send: (packet: RtpPacket) => void): void {
    const { loss, delayMs, jitterMs } = this.options;
    if (Math.random() < loss) return;
    const delay = delayMs + Math.random() * jitterMs;
    if (delay < 1) {
      send(packet);
      return;
    }
    // The header is rewritten for every listener, so what waits needs its own.
    const copy = new RtpPacket(new RtpHeader({ ...packet.header }), packet.payload);
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      send(copy);
    }, delay);
    this.timers.add(timer);
  }

  close(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
  }
}
