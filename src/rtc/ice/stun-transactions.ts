import type { Clock, Timeout } from '../../clock.js';
import type { StunMessage } from './stun-message.js';

/** First wait for a response over UDP; each further one is twice as long (RFC 8489, section 6.2.1). */
const RTO_MS = 500;
const MOST_SENDS = 7;
/** After the last, and the whole wait over a reliable transport (RFC 8489, sections 6.2.1 and 6.2.2). */
const LAST_WAIT_MS = 16 * RTO_MS;
const RELIABLE_WAIT_MS = 39_500;
const MOST_TRANSACTIONS = 64;

interface Transaction {
  readonly send: () => void;
  readonly done: (response: StunMessage | undefined) => void;
  sends: number;
  timer: Timeout | undefined;
}

/** Requests of a STUN client that wait for their responses (RFC 8489, section 6.2). */
export class StunTransactions {
  private readonly waiting = new Map<string, Transaction>();

  /** @param isReliable whether each request is sent only once */
  constructor(
    private readonly clock: Clock,
    private readonly isReliable: boolean,
  ) {}

  /**
   * Sends a request, again and again if need be. `done` is called once: with a response, or with `undefined` when there was none in time
   * or there are too many transactions.
   * @param id see `StunMessage.transaction`
   */
  start(id: string, send: () => void, done: (response: StunMessage | undefined) => void): void {
    if (this.waiting.size >= MOST_TRANSACTIONS) {
      done(undefined);
      return;
    }
    const transaction: Transaction = { send, done, sends: 0, timer: undefined };
    this.waiting.set(id, transaction);
    this.send(id, transaction);
  }

  /** Whether the message is a response that was waited for. */
  take(message: StunMessage): boolean {
    const id = message.transaction;
    const transaction = this.waiting.get(id);
    if (transaction === undefined) return false;
    this.end(id, transaction, message);
    return true;
  }

  /** Forgets all that wait; their `done` is not called. */
  close(): void {
    for (const { timer } of this.waiting.values()) timer?.cancel();
    this.waiting.clear();
  }

  private send(id: string, transaction: Transaction): void {
    const isLast = this.isReliable || transaction.sends === MOST_SENDS - 1;
    const waitMs = this.isReliable
      ? RELIABLE_WAIT_MS
      : isLast
        ? LAST_WAIT_MS
        : RTO_MS * 2 ** transaction.sends;
    transaction.sends += 1;
    transaction.timer = this.clock.timeout(waitMs, () => {
      if (isLast) this.end(id, transaction, undefined);
      else this.send(id, transaction);
    });
    transaction.send();
  }

  private end(id: string, transaction: Transaction, response: StunMessage | undefined): void {
    this.waiting.delete(id);
    transaction.timer?.cancel();
    transaction.done(response);
  }
}
