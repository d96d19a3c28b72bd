import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type FrontOptions, NodeFront, responseOver, wantsSocket } from './front.js';
import { type Target, targetOf } from './reply.js';

/** What servers of Node 22 and later have, and types of Node 20 do not. */
type Upgrading = Server & { shouldUpgradeCallback?: (message: IncomingMessage) => boolean };

/** Events by which Node's server hands out requests. */
const REQUESTS = new Set(['request', 'checkContinue', 'checkExpectation']);

/** What the gateways in a server do with upgrades that are not theirs. */
const OURS = new WeakSet<object>();

/**
 * Our routes in a server of the user's, which goes on with all else. What is ours is taken before any listener is told: a
 * framework answers whatever it hears of.
 */
export class NodeMount {
  private readonly front: NodeFront;
  private readonly emit: Server['emit'];
  private readonly shouldUpgrade: Upgrading['shouldUpgradeCallback'];
  private isClosed = false;

  /** @param prefix begins with a slash and does not end in one, or is empty: then only known routes are ours */
  constructor(
    private readonly server: Server,
    private readonly prefix: string,
    options: FrontOptions,
  ) {
    this.front = new NodeFront(options);
    this.emit = server.emit;
    server.emit = this.intercept as Server['emit'];
    const upgrading = server as Upgrading;
    this.shouldUpgrade = upgrading.shouldUpgradeCallback;
    if (this.shouldUpgrade !== undefined) upgrading.shouldUpgradeCallback = this.mayUpgrade;
    // Without a listener, Node takes a request for a WebSocket for an ordinary one.
    OURS.add(this.onStranger);
    server.on('upgrade', this.onStranger);
  }

  /** Gives the server back as it was, and cuts our WebSockets. */
  close(): void {
    // Whoever has put something of its own in front of ours keeps it.
    this.isClosed = true;
    const upgrading = this.server as Upgrading;
    this.server.off('upgrade', this.onStranger);
    if (this.server.emit === this.intercept) this.server.emit = this.emit;
    if (this.shouldUpgrade !== undefined && upgrading.shouldUpgradeCallback === this.mayUpgrade)
      upgrading.shouldUpgradeCallback = this.shouldUpgrade;
    this.front.close();
  }

  private readonly mayUpgrade = (message: IncomingMessage): boolean => {
    if (this.targetOf(message) !== undefined) return wantsSocket(message);
    return (this.isClosed || this.isHeard()) && this.shouldUpgrade?.call(this.server, message) === true;
  };

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

  /** Whether anybody but gateways hears of upgrades. */
  private isHeard(): boolean {
    return this.server.listeners('upgrade').some((listener) => !OURS.has(listener));
  }

  /**
   * An upgrade that is not ours. Where nobody else listens, it would be an ordinary request without us, and goes to whoever takes
   * those: clients offer HTTP/2 in this way.
   */
  private readonly onStranger = (message: IncomingMessage, connection: Duplex): void => {
    if (this.isHeard() || this.server.listeners('upgrade')[0] !== this.onStranger) return;
    const response = responseOver(message, connection);
    if (response === undefined) return;
    // What else it sends is read by nobody, and what it ends is seen.
    connection.resume();
    // Node has taken the body for what comes after the upgrade.
    const { 'content-length': length = '0', 'transfer-encoding': encoding } = message.headers;
    if (length !== '0' || encoding !== undefined) response.writeHead(501).end();
    else this.server.emit('request', message, response);
  };

  /** Where a request leads below the prefix, where it is ours. */
  private targetOf({ url = '/' }: IncomingMessage): Target | undefined {
    if (this.isClosed) return undefined;
    const { path, query } = targetOf(url);
    const { prefix } = this;
    if (prefix === '') return this.front.knows(path) ? { path, query } : undefined;
    if (path !== prefix && !path.startsWith(`${prefix}/`)) return undefined;
    return { path: path.slice(prefix.length) || '/', query };
  }
}
