import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../../src/clock.js';
import type { StreamApp } from './app.js';
import type { CallState } from './call-state.js';
import { Coordinator } from './coordinator.js';
import type { FakeMediaHost } from './fake-media-host.js';
import type { RequestFailure } from './rest-faults.js';
import type { User } from './users.js';

/** Stream without its media: users, calls, tokens and events, over real sockets and in the time of the test. */
export class StreamRest {
  private readonly coordinator: Coordinator;
  private readonly server: http.Server;

  private constructor(
    private readonly app: StreamApp,
    media: FakeMediaHost,
    clock: Clock,
  ) {
    this.coordinator = new Coordinator(app, media, clock);
    this.coordinator.sockets.onEvent = (call, event) => media.told(call.cid, event);
    this.server = http.createServer(
      (request, response) =>
        void this.coordinator.handle(request, response, new URL(request.url ?? '/', this.url)),
    );
  }

  /** @param media the app's media servers, in which phones and agents meet */
  static async start(media: FakeMediaHost): Promise<StreamRest> {
    const rest = new StreamRest(media.app, media, media.clock);
    rest.server.listen(0, '127.0.0.1');
    await once(rest.server, 'listening');
    return rest;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** What a bridge needs to find it. */
  get keys() {
    const { apiKey, apiSecret } = this.app;
    return { apiKey, apiSecret, baseUrl: this.url };
  }

  /** All calls there have been, by cid. */
  get calls(): ReadonlyMap<string, CallState> {
    return this.app.calls;
  }

  user(id: string): User | undefined {
    return this.app.users.find(id);
  }

  /** How often a route was asked for, as `METHOD /path/:parameter`. */
  requests(route: string): number {
    return this.coordinator.requestCounts.get(route) ?? 0;
  }

  /** The next requests of a kind fail. */
  failNext(plan: RequestFailure): void {
    this.coordinator.faults.failNext(plan);
  }

  /** Every request is answered with 503. */
  refuse(on: boolean): void {
    this.coordinator.faults.isRefusing = on;
  }

  /** Ends a call as a server would. */
  endCall(cid: string): void {
    this.coordinator.calls.end(this.callOf(cid), undefined);
  }

  /** Removes a user from a call as a moderator would. */
  kick(cid: string, userId: string): void {
    this.coordinator.calls.remove(this.callOf(cid), userId, undefined, 'kicked');
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private callOf(cid: string): CallState {
    const call = this.calls.get(cid);
    if (call === undefined) throw new Error(`Expected a known call but received ${cid}`);
    return call;
  }
}
