import type { PhoneLine } from '../bridge/bridge.js';
import { GatewayError } from '../errors.js';

const NOTHING = { playedMs: 0, discardedMs: 0 } as const;

/**
 * A phone as one leg of it has it. A call that goes to another room has two legs for a moment: only one of them is heard,
 * and has a say in how the call goes on.
 */
export class LegLine implements PhoneLine {
  private isCurrent = false;
  private hasLeft = false;
  /** What it said before it was the call's leg. */
  private deferred: (() => void) | undefined;

  constructor(private readonly phone: PhoneLine) {}

  /** Its leg is the call's from here on. */
  activate(): void {
    this.isCurrent = true;
    this.deferred?.();
    this.deferred = undefined;
  }

  /** Another leg is the call's from here on. */
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
    const message = `Expected a leg that is the call's for ${what} but received one that is not`;
    throw new GatewayError('GW_STREAM_CLOSED', message);
  }
}
