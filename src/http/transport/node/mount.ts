import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type FrontOptions, NodeFront, responseOver, wantsSocket } from './front.js';
import { type Target, targetOf } from './reply.js';

/** What servers of Node 22 and later have, and types of Node 20 do not. */
type Upgrading = Server & { shouldUpgradeCallback?: (message: IncomingMessage) => boolean };

/** The listeners by which mounts, of any gateway, refuse WebSockets that are nobody's. */
const REFUSALS = new WeakSet<object>();

const BODILESS: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Events by which Node's server hands out requests. */
const REQUESTS = new Set(['request', 'checkContinue', 'checkExpectation']);

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
    const upgrading: Upgrading = server;
    this.shouldUpgrade = upgrading.shouldUpgradeCallback;
    if (this.shouldUpgrade !== undefined) upgrading.shouldUpgradeCallback = this.interceptUpgrade;
    // Without a listener, Node takes a request for a WebSocket for an ordinary one.
    REFUSALS.add(this.onStranger);
    server.on('upgrade', this.onStranger);
  }

  /**
   * Gives the server back as it was, and cuts our WebSockets. Where somebody else (another gateway, a tool that watches) has come
   * between since, what is ours stays in the chain and passes everything on.
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
    // Our own listener is no reason to take what asks for HTTP/2, say, out of the user's hands.
    const isHeard = wantsSocket(message) || this.hasListener;
    return isHeard && this.shouldUpgrade?.call(this.server, message) === true;
  };

  /** Whether anybody but gateways listens for requests for WebSockets. */
  private get hasListener(): boolean {
    return this.server.listeners('upgrade').some((listener) => !REFUSALS.has(listener));
  }

  /** Somebody wants a WebSocket, or HTTP/2, that is not ours: where nobody else listens, nobody else would answer. */
  private readonly onStranger = (message: IncomingMessage, connection: Duplex): void => {
    // Of several gateways the first one answers.
    if (this.hasListener || this.server.listeners('upgrade')[0] !== this.onStranger) return;
    const response = responseOver(message, connection);
    if (response === undefined) return;
    // What else it sends is read by nobody, and that it goes is seen.
    connection.resume();
    // Node 20 asks nobody before it takes such a request for an upgrade. Its body, if it has one, is out of reach.
    if (wantsSocket(message) || !BODILESS.has(message.method)) response.writeHead(404).end();
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
