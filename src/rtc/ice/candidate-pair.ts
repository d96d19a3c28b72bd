import { candidatePriority, type IceCandidate, makeCandidate } from './ice-candidate.js';
import type { IcePath, IceRoute } from './ice-path.js';
import type { Endpoint } from './ip-address.js';

/**
 * `waiting` for its turn to be checked, `checking` until an answer comes, `succeeded` once it came; `idle` when it need not or cannot be
 * checked.
 */
export type PairState = 'waiting' | 'checking' | 'succeeded' | 'idle';

/** A way of this side and an address of the other (RFC 8445, section 6.1.2). Times are in ms of `Clock.runningMs`. */
export class CandidatePair {
  state: PairState = 'waiting';
  /** The candidate of this side that its last answer showed. */
  local: IceCandidate | undefined;
  /** Whether the other side has authenticated itself from this address: then its data counts. */
  isHeard = false;
  /** Whether it is checked before others, since the other side is checking it. */
  isTriggered = false;
  /** Whether this side, controlling, has decided for it. */
  isNominating = false;
  /** Whether the other side, controlling, has decided for it. */
  isNominated = false;
  /** When the other side last said so. */
  nominatedAt = Number.NEGATIVE_INFINITY;
  /** Checks since the last answer. */
  unanswered = 0;
  sentAt = Number.NEGATIVE_INFINITY;
  /** When the next check is due, while it is being checked or selected. */
  dueAt = Number.POSITIVE_INFINITY;
  answeredAt = Number.NEGATIVE_INFINITY;
  roundTripMs: number | undefined;

  constructor(
    readonly path: IcePath,
    readonly route: IceRoute,
    public remote: IceCandidate,
  ) {}

  isTo(path: IcePath, address: string, port: number): boolean {
    return this.remote.port === port && this.path === path && this.remote.address === address;
  }

  /** Takes the address of this side that an answer shows (RFC 8445, section 7.2.5.3.1). */
  showLocal({ address, port }: Endpoint): void {
    if (this.local?.address === address && this.local.port === port) return;
    const { candidates } = this.path;
    this.local =
      candidates.find((candidate) => candidate.address === address && candidate.port === port) ??
      makeCandidate('prflx', { address, port }, (this.reflexivePriority >>> 8) & 0xffff, candidates[0]);
  }

  /** What an address that is found by a check of this pair is worth (RFC 8445, section 7.1.1). */
  get reflexivePriority(): number {
    const own = this.path.candidates[0]?.priority;
    if (own === undefined) return candidatePriority('prflx', 0);
    return this.path.isRelay ? own : candidatePriority('prflx', (own >>> 8) & 0xffff);
  }

  /** RFC 8445, section 6.1.2.3, as exactly as a number can be. */
  priority(isControlling: boolean): number {
    const own = this.path.candidates[0]?.priority ?? this.reflexivePriority;
    const [controlling, controlled] = isControlling
      ? [own, this.remote.priority]
      : [this.remote.priority, own];
    const [less, more] =
      own < this.remote.priority ? [own, this.remote.priority] : [this.remote.priority, own];
    return less * 2 ** 32 + more * 2 + (controlling > controlled ? 1 : 0);
  }
}
