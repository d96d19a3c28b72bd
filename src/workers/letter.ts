import type { SentError } from '../fleet/sent-error.js';

/** A request, or without `id` a message, from one process of this machine to another; the supervisor carries it. */
export interface Letter {
  readonly to: number;
  readonly from: number;
  readonly id?: number;
  readonly what: string;
  readonly about: unknown;
}

/** The answer to a request. */
export interface Reply {
  readonly to: number;
  readonly re: number;
  readonly answer?: unknown;
  readonly error?: SentError;
}

/** What a worker sends to the supervisor. */
export type WorkerMessage = Letter | Reply | { readonly serves: true };
/** What the supervisor sends to a worker: also which workers serve. */
export type SupervisorMessage = Letter | Reply | { readonly workers: readonly number[] };
