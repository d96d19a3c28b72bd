import type { HttpResponse } from 'uWebSockets.js';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Uws } from './load.js';

/**
 * Upgrades responses after a wait. Outside a cork, uWebSockets.js prints a warning to stderr for each. Within the response's own
 * cork, it later accesses that response, which may have become a WebSocket in place, and closes one in some thousands. So the
 * upgrade runs within the cork of another response: one that this process requests from itself and never answers.
 */
export class UpgradeCork {
  private spare: HttpResponse | undefined;
  private socket: Socket | undefined;

  constructor(private readonly uws: Uws) {}

  /** Requests that response, over a temporary listener on loopback. */
  async open(): Promise<void> {
    const { uws } = this;
    await new Promise<void>((resolve) => {
      const app = uws.App().get('/', (response) => {
        response.onAborted(() => {
          this.spare = undefined;
        });
        this.spare = response;
        resolve();
      });
      app.listen('127.0.0.1', 0, async (listener) => {
        // Without it, upgrades still work, but with warnings on stderr.
        if (!listener) {
          resolve();
          return;
        }
        const socket = connect(uws.us_socket_local_port(listener), '127.0.0.1');
        this.socket = socket;
        socket.unref();
        socket.on('error', () => {});
        socket.on('close', resolve);
        await once(socket, 'connect').catch(() => {});
        uws.us_listen_socket_close(listener);
        socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
      });
    });
  }

  /** Runs the upgrade within the cork. */
  run(work: () => void): void {
    if (this.spare === undefined) work();
    else this.spare.cork(work);
  }

  close(): void {
    this.socket?.destroy();
    this.socket = undefined;
  }
}
