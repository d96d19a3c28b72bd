import type { Switchboard } from '../calls/switchboard.js';
import type { Clock } from '../clock.js';
import type { Fleet } from '../fleet/fleet.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { RequestContext } from './request-context.js';
import type { TransportName } from './transport/transport.js';

/** What `/health` says besides how the calls are. */
export interface HealthFacts {
  readonly version: string;
  /** The transcoding core in use. */
  readonly transcoder: string;
  /** The instruction set it was written for. */
  readonly kernels: string;
  /** The file it came from, and why no better one. */
  readonly core: string;
  /** The transport that serves; `undefined` before anything does. */
  readonly server: TransportName | undefined;
  /** What it is made of, and why nothing better. */
  readonly transport: string | undefined;
  readonly bridge: string;
  /** What an operator should not overlook. */
  readonly warnings: readonly string[];
}

/** However many ask, the figures are written down once in so many milliseconds: that takes some 4 ms of the event loop. */
const FIGURES_MS = 1_000;

/** For operators and load balancers. */
export class OperationsRoutes {
  private page: { readonly writtenAt: number; readonly text: Promise<string> } | undefined;

  constructor(
    private readonly switchboard: Switchboard,
    private readonly fleet: Fleet | undefined,
    private readonly metricsOf: Metrics,
    private readonly facts: HealthFacts,
    private readonly clock: Clock,
  ) {}

  /** `GET /health`: alive. */
  health(context: RequestContext): void {
    context.json(200, {
      status: 'ok',
      ...this.facts,
      calls: this.switchboard.activeCalls,
      uptimeSeconds: process.uptime(),
      ...(this.fleet && { node: this.fleet.node, nodes: this.fleet.size, ...this.registry() }),
    });
  }

  /** `GET /ready`: 200 while new calls are taken, else 503 and why not. */
  ready(context: RequestContext): void {
    const { draining, admission } = this.switchboard;
    const { busyReason } = admission;
    // Somebody must answer for the calls that go on: while there are some, a registry that is away closes no node.
    const isServed = (this.fleet?.isUp ?? true) || this.switchboard.activeCalls > 0;
    const ready = busyReason === undefined && isServed;
    context.json(ready ? 200 : 503, {
      ready,
      draining,
      full: busyReason === 'full',
      ...(busyReason && { closure: busyReason }),
      ...this.registry(),
    });
  }

  private registry(): object {
    if (this.fleet === undefined) return {};
    const { isUp, cause } = this.fleet;
    return isUp ? { registry: 'up' } : { registry: 'down', cause };
  }

  /** `GET /metrics`: Prometheus text, of the last second. */
  async metrics(context: RequestContext): Promise<void> {
    const now = this.clock.now();
    if (this.page === undefined || now - this.page.writtenAt >= FIGURES_MS) {
      this.page = { writtenAt: now, text: this.metricsOf.text() };
    }
    context.answer(200, this.metricsOf.contentType, await this.page.text);
  }
}
