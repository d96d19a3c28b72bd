import type { CallDecision, PhoneCall } from '../calls/decision.js';

/** Key for every number without its own entry. */
export const DEFAULT_NUMBER = 'default';

/** Decisions by called number: exact numbers, prefixes, and a default. */
export class NumberPlan {
  private readonly exact = new Map<string, CallDecision>();
  /** The longest prefix first. */
  private readonly beginnings: readonly (readonly [beginning: string, decision: CallDecision])[];
  private readonly others: CallDecision | undefined;
  /** Number of decisions. */
  readonly size: number;

  /**
   * @param decisions by number, by prefix with a trailing `*`, or by {@link DEFAULT_NUMBER}; all of them
   *   valid
   */
  constructor(decisions: ReadonlyMap<string, CallDecision>) {
    this.size = decisions.size;
    const beginnings: [string, CallDecision][] = [];
    for (const [number, decision] of decisions) {
      if (number.endsWith('*')) beginnings.push([number.slice(0, -1), decision]);
      else this.exact.set(number, decision);
    }
    this.beginnings = beginnings.sort(([a], [b]) => b.length - a.length);
    this.others = decisions.get(DEFAULT_NUMBER);
  }

  /** The decision for an inbound call. Outbound calls go where the request says. */
  decide({ to = '', direction }: Pick<PhoneCall, 'to' | 'direction'>): CallDecision | undefined {
    if (direction?.startsWith('outbound')) return undefined;
    return (
      this.exact.get(to) ??
      this.beginnings.find(([beginning]) => to.startsWith(beginning))?.[1] ??
      this.others
    );
  }
}
