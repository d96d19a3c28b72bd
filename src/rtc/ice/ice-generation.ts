import { randomBytes } from 'node:crypto';
import type { CandidatePair } from './candidate-pair.js';
import type { IceCandidate } from './ice-candidate.js';
import type { IcePath } from './ice-path.js';

/** What a description tells of a side's ICE (RFC 8839, sections 5.3 and 5.4). */
export interface IceParameters {
  readonly ufrag: string;
  readonly pwd: string;
}

/** A check of the other side that came before its description. */
export interface EarlyCheck {
  readonly path: IcePath;
  readonly address: string;
  readonly port: number;
  readonly priority: number;
  readonly isNominating: boolean;
}

/** Limits of what the other side can make this one hold. */
const MOST_REMOTE_CANDIDATES = 40;
const MOST_REFLEXIVE = 20;
const MOST_PAIRS = 100;
const MOST_EARLY_CHECKS = 10;

/** An ICE session between a start, or restart, and the next (RFC 8445, section 9). */
export class IceGeneration {
  /** 48 and 144 random bits (RFC 8445, section 5.3). */
  readonly local: IceParameters = {
    ufrag: randomBytes(6).toString('base64'),
    pwd: randomBytes(18).toString('base64'),
  };
  remote: (IceParameters & { readonly isLite: boolean }) | undefined;
  readonly candidates: IceCandidate[] = [];
  readonly pairs: CandidatePair[] = [];
  readonly earlyChecks: EarlyCheck[] = [];
  /** Whether the other side has told all its candidates. */
  hasAllRemote = false;
  /** When its checks began and when the first of them was answered, in ms of `Clock.runningMs`; infinite before. */
  beganAt = Number.POSITIVE_INFINITY;
  answeredAt = Number.POSITIVE_INFINITY;
  /** Whether it has found nothing in time. */
  hasFailed = false;
  private reflexive = 0;

  /** Keeps a candidate that the other side told; false if it is one too many, or known. */
  addCandidate(candidate: IceCandidate): boolean {
    const { candidates } = this;
    const isKnown = candidates.some((c) => c.address === candidate.address && c.port === candidate.port);
    if (isKnown || candidates.length >= MOST_REMOTE_CANDIDATES) return false;
    candidates.push(candidate);
    return true;
  }

  find(path: IcePath, address: string, port: number): CandidatePair | undefined {
    const { pairs } = this;
    for (let i = 0; i < pairs.length; i++) {
      const pair = pairs[i] as CandidatePair;
      if (pair.isTo(path, address, port)) return pair;
    }
    return undefined;
  }

  /** Keeps a pair unless there are too many. */
  addPair(pair: CandidatePair): boolean {
    const isReflexive = pair.remote.type === 'prflx';
    if (this.pairs.length >= MOST_PAIRS || (isReflexive && this.reflexive >= MOST_REFLEXIVE)) return false;
    if (isReflexive) this.reflexive += 1;
    this.pairs.push(pair);
    return true;
  }

  addEarlyCheck(check: EarlyCheck): void {
    if (this.earlyChecks.length < MOST_EARLY_CHECKS) this.earlyChecks.push(check);
  }
}
