import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Coordinator } from './coordinator.js';
import { CoordinatorFaults } from './coordinator-faults.js';
import type { FakeMediaHost } from './fake-media-host.js';

/** Stream without its media: users, calls, tokens and events, over real sockets and in the time of the test. */
export class StreamRest extends CoordinatorFaults {
  private readonly server: http.Server;

  private constructor(media: FakeMediaHost) {
    super(media.app, new Coordinator(media.app, media, media.clock));
    this.coordinator.sockets.onEvent = (call, event) => media.told(call.cid, event);
    this.server = http.createServer(
      (request, response) =>
        void this.coordinator.handle(request, response, new URL(request.url ?? '/', this.url)),
    );
  }

  /** @param media the app's media servers, in which phones and agents meet */
  static async start(media: FakeMediaHost): Promise<StreamRest> {
    const rest = new StreamRest(media);
    rest.server.listen(0, '127.0.0.1');
    await once(rest.server, 'listening');
    return rest;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** What a bridge needs to find it. */
  get keys() {
    const { apiKey, apiSecret, url: baseUrl } = this;
    return { apiKey, apiSecret, baseUrl };
  }

  /** How often a route was asked for, as `METHOD /path/:parameter`. */
  requests(route: string): number {
    return this.coordinator.requestCounts.get(route) ?? 0;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}
