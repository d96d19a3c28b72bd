import type { HttpResponse } from 'uWebSockets.js';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Uws } from './load.js';

/**
 * Where responses are upgraded after a wait. uWebSockets.js says on stderr of every one that it is not done within a cork;
 * done within its own, it goes on to look at that response, which the upgrade may have made a WebSocket in place, and closes
 * one in some thousands. So it is done within another response's cork: of one that this process asks itself for and never
 * answers.
 */
export class UpgradeCork {
  private spare: HttpResponse | undefined;
  private socket: Socket | undefined;

  constructor(private readonly uws: Uws) {}

  /** Asks for the response, over a listener on loopback that is gone afterwards. */
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
        // Without one, upgrades are as right as with it, and stderr is not.
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

  /** Does it within the cork. */
  run(work: () => void): void {
    if (this.spare === undefined) work();
    else this.spare.cork(work);
  }

  close(): void {
    this.socket?.destroy();
    this.socket = undefined;
  }
}
