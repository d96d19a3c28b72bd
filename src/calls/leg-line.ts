import type { PhoneLine } from '../bridge/bridge.js';
import { GatewayError } from '../errors.js';

const NOTHING = { playedMs: 0, discardedMs: 0 } as const;

/**
 * The phone as one bridge leg sees it. A call that moves to another room briefly has two legs; only the
 * current one is heard and may control the call.
 */
export class LegLine implements PhoneLine {
  private isCurrent = false;
  private hasLeft = false;
  /** An end reported before this leg became current. */
  private deferred: (() => void) | undefined;

  constructor(private readonly phone: PhoneLine) {}

  /** Makes this leg the call's current one. */
  activate(): void {
    this.isCurrent = true;
    this.deferred?.();
    this.deferred = undefined;
  }

  /** Another leg has become the current one. */
  retire(): void {
    this.isCurrent = false;
    this.hasLeft = true;
  }

  get isLive(): boolean {
    return this.phone.isLive;
  }

  get leadMs(): number {
    return this.isCurrent ? (this.phone.leadMs ?? 0) : 0;
  }

  write(frame: Int16Array, stamp: number): void {
    if (this.isCurrent) this.phone.write(frame, stamp);
  }

  clear(): { readonly playedMs: number; readonly discardedMs: number } {
    return this.isCurrent ? this.phone.clear() : NOTHING;
  }

  mark(name: string): void {
    this.requireCurrent('mark');
    this.phone.mark(name);
  }

  transfer(to: string): void {
    this.requireCurrent('transfer');
    this.phone.transfer(to);
  }

  hangUp(options?: { readonly now?: boolean }): void {
    this.whenCurrent(() => this.phone.hangUp(options));
  }

  fail(error: unknown): void {
    this.whenCurrent(() => this.phone.fail(error));
  }

  private whenCurrent(what: () => void): void {
    if (this.isCurrent) what();
    else if (!this.hasLeft) this.deferred = what;
  }

  private requireCurrent(what: string): void {
    if (this.isCurrent) return;
    const message = `Cannot ${what}: another bridge leg carries this call`;
    throw new GatewayError('GW_STREAM_CLOSED', message);
  }
}
