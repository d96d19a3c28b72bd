import type { Clock } from '../../../src/clock.js';
import { ApiError } from './api-error.js';

/** Which requests shall fail, how, and how often. */
export interface RequestFailure {
  readonly method?: string;
  /** The path as the client asks for it, or a part of it. */
  readonly path: RegExp | string;
  readonly status: number;
  readonly code?: number;
  readonly message?: string;
  /** Default 1. */
  readonly times?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a test has planned to go wrong with requests, of the coordinator and of the SFU's signalling. */
export class RestFaults {
  /** Nobody gets through, as when the service is down. */
  isRefusing = false;
  private readonly failures: { readonly plan: RequestFailure; left: number }[] = [];
  private slow = { ms: 0, left: 0 };

  constructor(private readonly clock: Clock) {}

  failNext(plan: RequestFailure): void {
    this.failures.push({ plan, left: plan.times ?? 1 });
  }

  slowJoin(ms: number, times: number): void {
    this.slow = { ms, left: times };
  }

  /** Fails if the coordinator is down, or if the request was planned to. */
  check(method: string, path: string): void {
    if (this.isRefusing) throw new ApiError(503, -1, 'service unavailable');
    this.checkPlan(method, path);
  }

  /** Fails if the request was planned to. */
  checkPlan(method: string, path: string): void {
    for (const failure of this.failures) {
      const { plan } = failure;
      if (failure.left === 0 || (plan.method !== undefined && plan.method !== method)) continue;
      if (typeof plan.path === 'string' ? !path.includes(plan.path) : !plan.path.test(path)) continue;
      failure.left -= 1;
      throw new ApiError(plan.status, plan.code ?? -1, plan.message ?? 'planned failure', {
        ...(plan.status === 429 ? rateLimited(this.clock) : {}),
        ...plan.headers,
      });
    }
  }

  /** How long this join takes. */
  takeDelay(): number {
    if (this.slow.left === 0) return 0;
    this.slow.left -= 1;
    return this.slow.ms;
  }
}

function rateLimited(clock: Clock): Record<string, string> {
  const reset = Math.ceil(clock.date().getTime() / 1000) + 1;
  return {
    'retry-after': '1',
    'x-ratelimit-limit': '60',
    'x-ratelimit-remaining': '0',
    'x-ratelimit-reset': String(reset),
  };
}
