import type { CallDecision, PhoneCall } from '../calls/decision.js';

/** Stands for every number that has no entry of its own. */
export const DEFAULT_NUMBER = 'default';

/** Where calls to the numbers of a gateway go: a decision for each, for all that begin alike, and for all others. */
export class NumberPlan {
  private readonly exact = new Map<string, CallDecision>();
  /** The longest first. */
  private readonly beginnings: readonly (readonly [beginning: string, decision: CallDecision])[];
  private readonly others: CallDecision | undefined;
  /** How many decisions there are. */
  readonly size: number;

  /** @param decisions by number, by what it begins with and a `*`, or by {@link DEFAULT_NUMBER}; all of them checked */
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

  /** What is decided of a call that comes in. Calls that are placed go where whoever places them says. */
  decide({ to = '', direction }: Pick<PhoneCall, 'to' | 'direction'>): CallDecision | undefined {
    if (direction?.startsWith('outbound')) return undefined;
    return (
      this.exact.get(to) ??
      this.beginnings.find(([beginning]) => to.startsWith(beginning))?.[1] ??
      this.others
    );
  }
}
