import type { StreamApp } from './app.js';
import type { CallState } from './call-state.js';
import type { Coordinator } from './coordinator.js';
import type { RequestFailure } from './rest-faults.js';
import type { User } from './users.js';

/** An app at Stream as tests see it: its state, and faults of the coordinator that they can trigger. */
export class CoordinatorFaults {
  constructor(
    protected readonly app: StreamApp,
    protected readonly coordinator: Coordinator,
  ) {}

  get apiKey(): string {
    return this.app.apiKey;
  }

  get apiSecret(): string {
    return this.app.apiSecret;
  }

  /** All calls there have been, by cid. */
  get calls(): ReadonlyMap<string, CallState> {
    return this.app.calls;
  }

  /** What is known of a user. */
  user(id: string): User | undefined {
    return this.app.users.find(id);
  }

  /** The next joins take longer. */
  slowJoin(ms: number, times = 1): void {
    this.coordinator.faults.slowJoin(ms, times);
  }

  /** The next requests of a kind fail. */
  failNext(plan: RequestFailure): void {
    this.coordinator.faults.failNext(plan);
  }

  /** All users' tokens shown until now count as expired, for requests and for new coordinator sockets. */
  expireTokens(): void {
    this.coordinator.gate.expireTokens();
  }

  /** Cuts all coordinator sockets. */
  dropCoordinator(): void {
    this.coordinator.sockets.drop();
  }

  /** The coordinator answers every request with 503 and accepts no sockets. */
  refuseCoordinator(on: boolean): void {
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

  private callOf(cid: string): CallState {
    const call = this.calls.get(cid);
    if (call === undefined) throw new Error(`Expected a known call but received ${cid}`);
    return call;
  }
}
