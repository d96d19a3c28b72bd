import type { Switchboard } from '../calls/switchboard.js';
import type { Clock } from '../clock.js';
import type { Fleet } from '../fleet/fleet.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { MachineHealth, OwnHealth } from '../workers/machine-health.js';
import type { WorkerMetrics } from '../workers/worker-metrics.js';
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
  /** The WebRTC that a bridge runs on, and why it is not a better one; `undefined` where none is needed or running. */
  readonly webrtc: string | undefined;
  /** Warnings for the operator. */
  readonly warnings: readonly string[];
}

/** Milliseconds for which a page of metrics is kept: making one takes half a millisecond of the event loop. */
const METRICS_MS = 1_000;

/** What the workers of this machine have in common. */
export interface MachineOperations {
  readonly health: MachineHealth;
  readonly metrics: WorkerMetrics;
}

/** Routes for operators and load balancers. */
export class OperationsRoutes {
  private page: { readonly writtenAt: number; readonly text: string } | undefined;

  /** @param machine present where this is one of several workers: it answers for all of them */
  constructor(
    private readonly switchboard: Switchboard,
    private readonly fleet: Fleet | undefined,
    private readonly metricsOf: Metrics,
    private readonly facts: HealthFacts,
    private readonly clock: Clock,
    private readonly machine: MachineOperations | undefined,
  ) {}

  /** `GET /health`: 200 while the process runs. */
  async health(context: RequestContext): Promise<void> {
    const machine = await this.machine?.health.read();
    context.json(200, {
      status: 'ok',
      ...this.facts,
      calls: machine?.workers.reduce((sum, { calls }) => sum + calls, 0) ?? this.switchboard.activeCalls,
      uptimeSeconds: process.uptime(),
      ...(machine && { workers: machine.workers, silentWorkers: machine.silent }),
      ...(this.fleet && { node: this.fleet.node, nodes: this.fleet.size, ...this.registry() }),
    });
  }

  /** `GET /ready`: 200 while new calls are accepted, otherwise 503 and the reason. */
  async ready(context: RequestContext): Promise<void> {
    const { ready, draining, closure } = healthOf(this.switchboard, this.fleet);
    const workers = ready ? undefined : (await this.machine?.health.read())?.workers;
    const isAnyReady = ready || workers?.some((worker) => worker.ready) === true;
    context.json(isAnyReady ? 200 : 503, {
      ready: isAnyReady,
      draining: draining && (workers?.every((worker) => worker.draining) ?? true),
      full: !isAnyReady && closure === 'full',
      ...(closure && !isAnyReady && { closure }),
      ...this.registry(),
    });
  }

  private registry(): object {
    if (this.fleet === undefined) return {};
    const { isUp, cause } = this.fleet;
    return isUp ? { registry: 'up' } : { registry: 'down', cause };
  }

  /** `GET /metrics`: Prometheus text, at most a second old. */
  async metrics(context: RequestContext): Promise<void> {
    const { contentType } = this.metricsOf;
    context.answer(200, contentType, (await this.machine?.metrics.text()) ?? this.ownPage());
  }

  private ownPage(): string {
    const now = this.clock.now();
    if (this.page === undefined || now - this.page.writtenAt >= METRICS_MS) {
      this.page = { writtenAt: now, text: this.metricsOf.text() };
    }
    return this.page.text;
  }
}

/** What `/ready` says of one gateway. */
export function healthOf(switchboard: Switchboard, fleet: Fleet | undefined): OwnHealth {
  const { draining, admission, activeCalls: calls } = switchboard;
  const { busyReason: closure } = admission;
  // Without a registry a node stays ready while it has calls: Twilio still asks it about them.
  const isServed = (fleet?.isUp ?? true) || calls > 0;
  return { calls, draining, ready: closure === undefined && isServed, closure };
}
