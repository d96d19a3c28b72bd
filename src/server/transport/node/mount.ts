import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type FrontOptions, NodeFront, wantsSocket } from './front.js';
import { type Target, targetOf } from './reply.js';

/** What servers of Node 22 and later have, and types of Node 20 do not. */
type Upgrading = Server & { shouldUpgradeCallback?: (message: IncomingMessage) => boolean };

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
    const { shouldUpgradeCallback } = upgrading;
    if (shouldUpgradeCallback !== undefined) {
      upgrading.shouldUpgradeCallback = (message) =>
        this.targetOf(message) === undefined
          ? shouldUpgradeCallback.call(server, message)
          : wantsSocket(message);
    }
    this.shouldUpgrade = shouldUpgradeCallback;
    // Without a listener, Node takes a request for a WebSocket for an ordinary one.
    server.on('upgrade', this.onStranger);
  }

  /** Gives the server back as it was, and cuts our WebSockets. */
  close(): void {
    this.server.off('upgrade', this.onStranger);
    if (this.server.emit === this.intercept) this.server.emit = this.emit;
    if (this.shouldUpgrade !== undefined)
      (this.server as Upgrading).shouldUpgradeCallback = this.shouldUpgrade;
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

  /** Somebody wants a WebSocket that is not ours: where nobody else listens, nobody else would answer. */
  private readonly onStranger = (_: IncomingMessage, connection: Duplex): void => {
    if (this.server.listenerCount('upgrade') > 1) return;
    connection.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  };

  /** Where a request leads below the prefix, where it is ours. */
  private targetOf({ url = '/' }: IncomingMessage): Target | undefined {
    const { path, query } = targetOf(url);
    const { prefix } = this;
    if (prefix === '') return this.front.knows(path) ? { path, query } : undefined;
    if (path !== prefix && !path.startsWith(`${prefix}/`)) return undefined;
    return { path: path.slice(prefix.length) || '/', query };
  }
}
