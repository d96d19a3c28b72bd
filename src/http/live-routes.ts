import { GatewayError } from '../errors.js';
import { DashboardFeed, type DashboardFeedOptions } from '../live/dashboard-feed.js';
import { gauge, type Metric } from '../telemetry/metric.js';
import { LiveViewer } from './live-viewer.js';
import type { RequestContext } from './request-context.js';

/** Most viewers at a time. */
const MAX_VIEWERS = 16;
/** Milliseconds after which a browser reconnects. */
const RETRY_MS = 2_000;

/** `GET /v1/live`: the state of every call, once a second, as server-sent events; and what the dashboard asks besides. */
export class LiveRoutes {
  readonly metrics: readonly Metric[];
  private readonly viewers = new Set<LiveViewer>();
  private readonly live: DashboardFeed;

  constructor(private readonly options: Omit<DashboardFeedOptions, 'onRound'>) {
    this.live = new DashboardFeed({ ...options, onRound: (json) => this.show(json) });
    this.metrics = [gauge('live_viewers', 'Viewers of /v1/live', () => this.viewers.size)];
  }

  /** Streams until the viewer leaves, or reads no more. */
  watch(context: RequestContext): void {
    if (this.viewers.size >= MAX_VIEWERS) {
      throw new GatewayError('GW_TOO_MANY_VIEWERS', `All ${MAX_VIEWERS} connections to /v1/live are in use`);
    }
    const answer = context.stream('text/event-stream');
    if (answer === undefined) return;
    const viewer = new LiveViewer(answer, this.options.clock);
    this.viewers.add(viewer);
    answer.onClose = () => {
      this.viewers.delete(viewer);
      if (this.viewers.size === 0) this.live.stop();
    };
    viewer.show(`retry: ${RETRY_MS}\n\n`);
    this.live.start();
  }

  /** `GET /v1/live/ended`: the calls of the last hour, the latest first. */
  listEnded(context: RequestContext): void {
    context.json(200, { calls: this.options.journal.list() });
  }

  /** `GET /v1/live/calls/{id}`: a call that lasts or ended within the hour, with its history and events. */
  inspect(context: RequestContext): void {
    context.json(200, this.options.journal.inspect(context.parameter(0)));
  }

  /** Ends all answers. */
  close(): void {
    for (const viewer of [...this.viewers]) viewer.close();
  }

  private show(json: string): void {
    const text = `event: live\ndata: ${json}\n\n`;
    for (const viewer of [...this.viewers]) viewer.show(text);
  }
}
