import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type FrontOptions, NodeFront, responseOver, wantsSocket } from './front.js';
import { type Target, targetOf } from './reply.js';

/** A property of servers of Node 22 and later, missing in the types of Node 20. */
type Upgrading = Server & { shouldUpgradeCallback?: (message: IncomingMessage) => boolean };

/** The listeners with which mounts of all gateways reject WebSockets that belong to no one. */
const REFUSALS = new WeakSet<object>();

const BODILESS: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Events with which Node's server dispatches requests. */
const REQUESTS = new Set(['request', 'checkContinue', 'checkExpectation']);

/**
 * Our routes in a server of the user, which handles everything else. Our requests are intercepted before any listener, because
 * a framework answers every request that it sees.
 */
export class NodeMount {
  private readonly front: NodeFront;
  private readonly emit: Server['emit'];
  private readonly shouldUpgrade: Upgrading['shouldUpgradeCallback'];
  private isClosed = false;

  /** @param prefix begins with a slash and does not end with one; if empty, only known routes are ours */
  constructor(
    private readonly server: Server,
    private readonly prefix: string,
    options: FrontOptions,
  ) {
    this.front = new NodeFront(options);
    this.emit = server.emit;
    server.emit = this.intercept as Server['emit'];
    const upgrading: Upgrading = server;
    this.shouldUpgrade = upgrading.shouldUpgradeCallback;
    if (this.shouldUpgrade !== undefined) upgrading.shouldUpgradeCallback = this.interceptUpgrade;
    // Without a listener, Node treats a WebSocket request as an ordinary one.
    REFUSALS.add(this.onStranger);
    server.on('upgrade', this.onStranger);
  }

  /**
   * Restores the server, and drops our WebSockets. If something else (another gateway, a monitoring tool) has wrapped it since,
   * our function stays in the chain and passes everything on.
   */
  close(): void {
    this.isClosed = true;
    const upgrading: Upgrading = this.server;
    upgrading.off('upgrade', this.onStranger);
    if (upgrading.emit === this.intercept) upgrading.emit = this.emit;
    if (this.shouldUpgrade !== undefined && upgrading.shouldUpgradeCallback === this.interceptUpgrade)
      upgrading.shouldUpgradeCallback = this.shouldUpgrade;
    this.front.close();
  }

  private readonly intercept = (event: string, ...args: unknown[]): boolean => {
    const isUpgrade = event === 'upgrade';
    if (isUpgrade || REQUESTS.has(event)) {
      const message = args[0] as IncomingMessage;
      const target = this.targetOf(message);
      if (target !== undefined) {
        if (isUpgrade) this.front.upgrade(message, args[1] as Duplex, args[2] as Buffer, target);
        else {
          const response = args[1] as ServerResponse;
          if (event === 'checkContinue') response.writeContinue();
          this.front.request(message, response, target);
        }
        return true;
      }
    }
    return (this.emit as (...all: unknown[]) => boolean).call(this.server, event, ...args);
  };

  private readonly interceptUpgrade = (message: IncomingMessage): boolean => {
    if (this.targetOf(message) !== undefined) return wantsSocket(message);
    // Our listener alone must not divert other upgrades, e.g. to HTTP/2, from the user's handlers.
    const isHeard = wantsSocket(message) || this.hasListener;
    return isHeard && this.shouldUpgrade?.call(this.server, message) === true;
  };

  /** Whether anything besides gateways listens for upgrades. */
  private get hasListener(): boolean {
    return this.server.listeners('upgrade').some((listener) => !REFUSALS.has(listener));
  }

  /** Handles an upgrade that is not ours: without other listeners it would get no response. */
  private readonly onStranger = (message: IncomingMessage, connection: Duplex): void => {
    // With several gateways, the first one answers.
    if (this.hasListener || this.server.listeners('upgrade')[0] !== this.onStranger) return;
    const response = responseOver(message, connection);
    if (response === undefined) return;
    // Discards further input, so that its disconnect is noticed.
    connection.resume();
    // Node 20 treats every such request as an upgrade. A body, if there is one, is out of reach.
    if (wantsSocket(message) || !BODILESS.has(message.method)) response.writeHead(404).end();
    else this.server.emit('request', message, response);
  };

  /** The target of a request below the prefix, if it is ours. */
  private targetOf({ url = '/' }: IncomingMessage): Target | undefined {
    if (this.isClosed) return undefined;
    const { path, query } = targetOf(url);
    const { prefix } = this;
    if (prefix === '') return this.front.knows(path) ? { path, query } : undefined;
    if (path !== prefix && !path.startsWith(`${prefix}/`)) return undefined;
    return { path: path.slice(prefix.length) || '/', query };
  }
}
