import type { Switchboard } from '../calls/switchboard.js';
import type { Clock } from '../clock.js';
import type { Fleet } from '../fleet/fleet.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { RequestContext } from './request-context.js';
import type { TransportName } from './transport/transport.js';

/** The constant part of `/health`. */
export interface HealthFacts {
  readonly version: string;
  /** The transcoding core in use. */
  readonly transcoder: string;
  /** The instruction set it uses. */
  readonly kernels: string;
  /** The file it was loaded from, and why no better one was. */
  readonly core: string;
  /** The transport in use; `undefined` before `listen`. */
  readonly server: TransportName | undefined;
  /** What the transport runs on, and why nothing better is in use. */
  readonly transport: string | undefined;
  readonly bridge: string;
  /** Warnings for the operator. */
  readonly warnings: readonly string[];
}

/** Milliseconds for which a page of metrics is kept: making one takes about 4 ms of the event loop. */
const METRICS_MS = 1_000;

/** Routes for operators and load balancers. */
export class OperationsRoutes {
  private page: { readonly writtenAt: number; readonly text: string } | undefined;

  constructor(
    private readonly switchboard: Switchboard,
    private readonly fleet: Fleet | undefined,
    private readonly metricsOf: Metrics,
    private readonly facts: HealthFacts,
    private readonly clock: Clock,
  ) {}

  /** `GET /health`: 200 while the process runs. */
  health(context: RequestContext): void {
    context.json(200, {
      status: 'ok',
      ...this.facts,
      calls: this.switchboard.activeCalls,
      uptimeSeconds: process.uptime(),
      ...(this.fleet && { node: this.fleet.node, nodes: this.fleet.size, ...this.registry() }),
    });
  }

  /** `GET /ready`: 200 while new calls are accepted, otherwise 503 and the reason. */
  ready(context: RequestContext): void {
    const { draining, admission } = this.switchboard;
    const { busyReason } = admission;
    // Without a registry a node stays ready while it has calls: Twilio still asks it about them.
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

  /** `GET /metrics`: Prometheus text, at most a second old. */
  metrics(context: RequestContext): void {
    const now = this.clock.now();
    if (this.page === undefined || now - this.page.writtenAt >= METRICS_MS) {
      this.page = { writtenAt: now, text: this.metricsOf.text() };
    }
    context.answer(200, this.metricsOf.contentType, this.page.text);
  }
}
