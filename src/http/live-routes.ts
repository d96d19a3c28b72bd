import { GatewayError } from '../errors.js';
import { DashboardFeed, type DashboardFeedOptions } from '../live/dashboard-feed.js';
import type { Metric } from '../telemetry/metrics.js';
import { LiveViewer } from './live-viewer.js';
import type { RequestContext } from './request-context.js';

/** Most who watch at a time. */
const MAX_VIEWERS = 16;
/** What a browser waits before it comes back, in milliseconds. */
const RETRY_MS = 2_000;

/** `GET /v1/live`: how every call is, once a second, as server-sent events. */
export class LiveRoutes {
  readonly metrics: readonly Metric[];
  private readonly viewers = new Set<LiveViewer>();
  private readonly live: DashboardFeed;

  constructor(private readonly options: Omit<DashboardFeedOptions, 'onRound'>) {
    this.live = new DashboardFeed({ ...options, onRound: (json) => this.show(json) });
    this.metrics = [
      {
        name: 'live_viewers',
        help: 'Viewers of /v1/live',
        kind: 'gauge',
        read: () => this.viewers.size,
      },
    ];
  }

  /** Answers until the viewer goes, or takes nothing any more. */
  watch(context: RequestContext): void {
    if (this.viewers.size >= MAX_VIEWERS) {
      throw new GatewayError(
        'GW_TOO_MANY_VIEWERS',
        `Expected fewer than ${MAX_VIEWERS} viewers but received one more`,
      );
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

  /** Ends all answers. */
  close(): void {
    for (const viewer of [...this.viewers]) viewer.close();
  }

  private show(json: string): void {
    // The same text for all of them.
    const text = `event: live\ndata: ${json}\n\n`;
    for (const viewer of [...this.viewers]) viewer.show(text);
  }
}
