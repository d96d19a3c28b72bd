import type { Clock } from '../clock.js';
import type { EventLog } from '../events/event-log.js';
import type { CallJournal } from '../live/call-journal.js';
import type { DashboardFeed } from '../live/dashboard-feed.js';
import type { Metrics } from '../telemetry/metrics.js';
import { MachineEvents } from './machine-events.js';
import { MachineFeed } from './machine-feed.js';
import { MachineHealth, type OwnHealth } from './machine-health.js';
import { MachineJournal } from './machine-journal.js';
import { type Peers, SUPERVISOR } from './peers.js';
import { WorkerMetrics } from './worker-metrics.js';

/** What a worker's gateway shows of itself. */
export interface OwnViews {
  readonly events: EventLog;
  readonly feed: DashboardFeed;
  readonly journal: CallJournal;
  readonly clock: Clock;
  health(): OwnHealth;
}

/** What a gateway shows of all workers of its machine, and tells the others for theirs. */
export class MachineViews {
  readonly events: MachineEvents;
  readonly feed: MachineFeed;
  readonly journal: MachineJournal;
  readonly health: MachineHealth;
  private ownMetrics: WorkerMetrics | undefined;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly peers: Peers,
    private readonly own: OwnViews,
  ) {
    const { events, feed, journal, health, clock } = own;
    this.events = new MachineEvents(peers, events, clock);
    this.feed = new MachineFeed(peers, feed, clock);
    this.journal = new MachineJournal(peers, journal);
    this.health = new MachineHealth(peers, clock, health);
  }

  /** Adds the gateway's metrics, which count what is above as well. */
  addMetrics(metrics: Metrics): WorkerMetrics {
    this.ownMetrics ??= new WorkerMetrics(this.peers, metrics, this.own.clock);
    return this.ownMetrics;
  }

  /** Before the gateway serves: reads what happened before. */
  async open(): Promise<void> {
    this.ownMetrics?.open();
    await this.events.catchUp();
  }

  /** After the last call: resolves when the others have what they should still show. */
  close(): Promise<void> {
    this.closing ??= (async () => {
      this.ownMetrics?.close();
      this.journal.close();
      // It answers when it has read all that was sent before.
      await this.peers.request(SUPERVISOR, 'state', {}).catch(() => {});
    })();
    return this.closing;
  }
}
