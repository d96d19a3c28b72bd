import type { Clock, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Page } from './machine-metrics.js';
import { type Peers, SUPERVISOR } from './peers.js';

/** How often the supervisor gets the metrics unasked: of a worker that dies it counts what it got last. */
const REPORT_MS = 5_000;

/** A worker's metrics, for the machine's page that the supervisor writes. */
export class WorkerMetrics {
  private timer: Timer | undefined;
  /** The latest page; most scrapes of strangers find that it has not changed. */
  private page: Required<Page> | undefined;

  constructor(
    private readonly peers: Peers,
    private readonly metrics: Metrics,
    private readonly clock: Clock,
  ) {
    peers.handle('metrics', () => this.report());
  }

  open(): void {
    this.timer = this.clock.every(REPORT_MS, () => this.report());
    this.timer.unref();
  }

  /** Sends the last ones. */
  close(): void {
    this.clock.cancel(this.timer);
    this.report();
  }

  /**
   * The machine's page, as Prometheus text; undefined once the supervisor is gone.
   * @throws GatewayError `GW_NODE_GONE` (503) if the supervisor does not answer
   */
  async text(): Promise<string | undefined> {
    try {
      return await this.ask();
    } catch (error) {
      if (this.peers.isUp) throw error;
      return undefined;
    }
  }

  private async ask(): Promise<string> {
    const about = { number: this.page?.number ?? 0 };
    const { number, text } = ((await this.peers.request(SUPERVISOR, 'metrics.page', about)) ??
      {}) as Partial<Page>;
    // Answers may overtake one another: none shows an older page after a newer one.
    if (typeof text === 'string' && typeof number === 'number' && number > (this.page?.number ?? 0)) {
      this.page = { number, text };
    }
    if (this.page === undefined) throw new GatewayError('GW_NODE_GONE', 'The supervisor sent no metrics');
    return this.page.text;
  }

  private report(): void {
    this.peers.notify(SUPERVISOR, 'metrics', this.metrics.read());
  }
}
