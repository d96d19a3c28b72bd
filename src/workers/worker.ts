import cluster from 'node:cluster';
import { EventEmitter } from 'node:events';
import type { Clock } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import { boundedChannel } from './channel.js';
import { MachineViews, type OwnViews } from './machine-views.js';
import { type Peers, SUPERVISOR, SupervisedPeers } from './peers.js';
import { type OwnCalls, Places } from './places.js';
import { ALIVE, ALIVE_MS, LEAVING, WORKER_VARIABLE, type WorkerFacts } from './worker-facts.js';

/** This process, where it is one of a machine's workers. */
export class Worker {
  readonly peers: SupervisedPeers;
  /** Replaces the process's signals: emits `SIGTERM` for each stage of a stop. */
  readonly signals = new EventEmitter();
  /** Whether all workers of the machine stop. */
  private isMachineDraining = false;
  private stage = 0;

  constructor(
    readonly facts: WorkerFacts,
    private readonly clock: Clock,
    log: Logger,
  ) {
    const { worker } = cluster;
    if (worker === undefined || process.send === undefined)
      throw new TypeError(`Expected a supervisor for ${WORKER_VARIABLE} but received none`);
    // Node would end a worker at once when its supervisor dies, and with it its calls.
    worker.exitedAfterDisconnect = true;
    const channel = boundedChannel(
      () => process.connected,
      (message, onLeft) => process.send?.(message, undefined, undefined, onLeft),
    );
    this.peers = new SupervisedPeers(worker.id, facts.place, channel, clock, (error) =>
      log.error({ err: error }, 'failed to handle a message of another worker'),
    );
    this.peers.handle('stop', (about) => {
      const { stage, isLast } = about as { stage: number; isLast?: boolean };
      this.isMachineDraining ||= isLast === true;
      this.stop(stage);
    });
    process.on('message', (message) => this.peers.receive(message));
    process.on('disconnect', () => {
      log.error('the supervisor is gone: draining');
      this.isMachineDraining = true;
      this.peers.disconnected();
      this.stop(1);
    });
    // A terminal and a service manager signal all processes of a group; the supervisor decides what that means.
    for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => {});
    process.on('SIGTERM', () => {
      if (this.stage === 0) this.peers.notify(SUPERVISOR, LEAVING, {});
      // Without a supervisor, an operator can only hurry the workers themselves.
      this.stop(this.peers.isUp ? 1 : this.stage + 1);
    });
  }

  /** Options of this worker's gateway, before those of its settings. */
  get options() {
    const { socketDir, ports, count } = this.facts;
    const { peers } = this;
    const views = (own: OwnViews) => new MachineViews(peers, own);
    const places = (own: OwnCalls) => new Places(peers, socketDir, own);
    const isMachineDraining = () => this.isMachineDraining;
    return {
      workers: { peers: peers as Peers, count, socketDir, isMachineDraining, views, places },
      ...ports,
    };
  }

  /** This worker serves from now on. */
  serve(): void {
    this.peers.serve();
    this.clock.every(ALIVE_MS, () => this.peers.notify(SUPERVISOR, ALIVE, {})).unref();
  }

  private stop(stage: number): void {
    for (; this.stage < stage; this.stage += 1) {
      // Nobody listens before it serves, and when it is done: there is no call to wait for.
      if (!this.signals.emit('SIGTERM')) process.exit(0);
    }
  }
}
