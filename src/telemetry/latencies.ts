import { LatencyHistogram } from './histogram.js';

/** Where a frame's time goes, for all calls of a gateway. */
export class Latencies {
  /** Message bytes → 48 kHz samples. */
  readonly transcodeIn = new LatencyHistogram();
  /** 48 kHz samples → message bytes. */
  readonly transcodeOut = new LatencyHistogram();
  /** From the start of the socket's message callback to the return of the send that its audio caused. */
  readonly gateway = new LatencyHistogram();

  reset(): void {
    for (const histogram of [this.transcodeIn, this.transcodeOut, this.gateway]) histogram.reset();
  }
}
