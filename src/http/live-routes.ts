import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { CallDetails, EndedCall } from '../live/call-journal.js';
import type { LiveFeed, LiveHead } from '../live/dashboard-feed.js';
import { gauge, type Metric } from '../telemetry/metric.js';
import { LiveViewer } from './live-viewer.js';
import type { RequestContext } from './request-context.js';

/** Most viewers at a time. */
const MAX_VIEWERS = 16;
/** Milliseconds after which a browser reconnects. */
const RETRY_MS = 2_000;

/** Running and recent calls: of this gateway, or of all workers of its machine. */
export interface Journal {
  /** Calls that ended within the hour, the latest first. */
  list(): EndedCall[] | Promise<EndedCall[]>;
  /** @throws GatewayError `GW_CALL_UNKNOWN` (404) */
  inspect(callId: string): CallDetails | Promise<CallDetails>;
}

/** `GET /v1/live`: the state of every call, once a second, as server-sent events; and what the dashboard asks besides. */
export class LiveRoutes {
  readonly metrics: readonly Metric[];
  private readonly viewers = new Set<LiveViewer>();

  constructor(
    private readonly feed: LiveFeed,
    private readonly journal: Journal,
    private readonly clock: Clock,
  ) {
    feed.onRound = (head, rows) => this.show(head, rows);
    this.metrics = [gauge('live_viewers', 'Viewers of /v1/live', () => this.viewers.size)];
  }

  /** Streams until the viewer leaves, or reads no more. */
  watch(context: RequestContext): void {
    if (this.viewers.size >= MAX_VIEWERS) {
      throw new GatewayError('GW_TOO_MANY_VIEWERS', `All ${MAX_VIEWERS} connections to /v1/live are in use`);
    }
    const answer = context.stream('text/event-stream');
    if (answer === undefined) return;
    const viewer = new LiveViewer(answer, this.clock);
    this.viewers.add(viewer);
    answer.onClose = () => {
      this.viewers.delete(viewer);
      if (this.viewers.size === 0) this.feed.stop();
    };
    viewer.show(`retry: ${RETRY_MS}\n\n`);
    this.feed.start();
  }

  /** `GET /v1/live/ended`: the calls of the last hour, the latest first. */
  async listEnded(context: RequestContext): Promise<void> {
    context.json(200, { calls: await this.journal.list() });
  }

  /** `GET /v1/live/calls/{id}`: a call that lasts or ended within the hour, with its history and events. */
  async inspect(context: RequestContext): Promise<void> {
    context.json(200, await this.journal.inspect(context.parameter(0)));
  }

  /** Ends all answers. */
  close(): void {
    for (const viewer of [...this.viewers]) viewer.close();
  }

  private show(head: LiveHead, rows: readonly string[]): void {
    const text = `event: live\ndata: ${JSON.stringify(head).slice(0, -1)},"rows":[${rows.join()}]}\n\n`;
    for (const viewer of [...this.viewers]) viewer.show(text);
  }
}
