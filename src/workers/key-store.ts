import type { Clock } from '../clock.js';

type Hash = Map<string, string>;
interface Held {
  value: string | Hash;
  /** Monotonic milliseconds. */
  expiresAt: number;
}

/** How often some expired keys are removed, and how many keys are looked at then: less than a millisecond of work. */
export const SWEEP_MS = 100;
const SWEPT_AT_ONCE = 2_000;

/** Keys with the meaning that Redis gives to these commands: strings and hashes, each with a time to live. */
export class KeyStore {
  private readonly held = new Map<string, Held>();
  private cursor = this.held.entries();

  constructor(private readonly clock: Clock) {}

  /** Number of keys, including expired ones that were not swept yet. */
  get size(): number {
    return this.held.size;
  }

  get(key: string): string | null {
    const value = this.find(key)?.value;
    return typeof value === 'string' ? value : null;
  }

  set(key: string, value: string, ttlMs: number): void {
    this.held.set(key, { value, expiresAt: this.clock.now() + ttlMs });
  }

  hget(key: string, field: string): string | null {
    return this.hash(key)?.get(field) ?? null;
  }

  hmget(key: string, ...fields: readonly string[]): (string | null)[] {
    const hash = this.hash(key);
    return fields.map((field) => hash?.get(field) ?? null);
  }

  hset(key: string, fields: Readonly<Record<string, string | number>>): void {
    let hash = this.hash(key);
    if (hash === undefined) {
      hash = new Map();
      this.held.set(key, { value: hash, expiresAt: Number.POSITIVE_INFINITY });
    }
    for (const [field, value] of Object.entries(fields)) hash.set(field, String(value));
  }

  hdel(key: string, field: string): void {
    const hash = this.hash(key);
    hash?.delete(field);
    if (hash?.size === 0) this.held.delete(key);
  }

  hgetall(key: string): ReadonlyMap<string, string> {
    return this.hash(key) ?? new Map();
  }

  /** @returns whether the key exists */
  pexpire(key: string, ttlMs: number): boolean {
    const held = this.find(key);
    if (held !== undefined) held.expiresAt = this.clock.now() + ttlMs;
    return held !== undefined;
  }

  /** Milliseconds to live; -2 without such a key. */
  pttl(key: string): number {
    const held = this.find(key);
    return held === undefined ? -2 : held.expiresAt - this.clock.now();
  }

  /** Looks at the next keys, and removes those that have expired. */
  sweep(): void {
    const now = this.clock.now();
    for (let i = 0; i < SWEPT_AT_ONCE; i++) {
      const { value, done } = this.cursor.next();
      if (done) {
        this.cursor = this.held.entries();
        return;
      }
      const [key, { expiresAt }] = value;
      if (expiresAt <= now) this.held.delete(key);
    }
  }

  private hash(key: string): Hash | undefined {
    const value = this.find(key)?.value;
    return typeof value === 'string' ? undefined : value;
  }

  private find(key: string): Held | undefined {
    const held = this.held.get(key);
    if (held === undefined || held.expiresAt > this.clock.now()) return held;
    this.held.delete(key);
    return undefined;
  }
}
