/** Seconds that a plot shows. */
export const SECONDS = 60;

/** The last minute of a figure, one value a second; NaN where there was none. */
export class Series {
  values = new Float32Array(SECONDS).fill(Number.NaN);

  /** @param {number | null | undefined} value */
  push(value) {
    this.values.copyWithin(0, 1);
    this.values[SECONDS - 1] = value ?? Number.NaN;
  }

  get largest() {
    let largest = 0;
    for (const value of this.values) if (value > largest) largest = value;
    return largest;
  }

  /** By how much a figure that only grows did so. */
  get growth() {
    const first = this.values.find((value) => !Number.isNaN(value));
    return first === undefined ? 0 : this.values[SECONDS - 1] - first;
  }
}

/** Figures of a call whose last minute is kept. */
const KEPT = ['levelIn', 'levelOut', 'p99Us', 'leadMs', 'droppedMs'];

/** A call as the gateway described it last, and its last minute. */
export class Call {
  /** When it was found to have ended, by the gateway's clock. */
  overAt = Number.POSITIVE_INFINITY;
  series = Object.fromEntries(KEPT.map((name) => [name, new Series()]));

  /** @param {Record<string, unknown>} facts */
  update(facts) {
    Object.assign(this, facts);
    for (const name of KEPT) this.series[name].push(facts[name]);
  }

  get isOver() {
    return this.overAt !== Number.POSITIVE_INFINITY;
  }

  /** Who is on the phone. */
  get who() {
    return whoIs(this);
  }

  /** Of a minute's audio, both ways: 0 to 1. One frame that a young call drops is no alarm. */
  get droppedShare() {
    return Math.min(1, this.series.droppedMs.growth / (2_000 * SECONDS));
  }

  /** Seconds since it began, by the gateway's clock. */
  secondsAt(at) {
    return Math.max(0, Math.floor((at - this.startedAt) / 1_000));
  }
}

/** Names the person on the phone, and the call. */
export function whoIs({ direction, caller, called, callId }) {
  return `${(direction === 'in' ? caller : called) || 'unknown'}, ${callId.slice(0, 8)}`;
}

/** All calls of the node. */
export class Calls {
  /** @type {Map<string, Call>} */
  byId = new Map();

  /** Takes over a round: its rows are arrays, because there are many. */
  update({ at, fields, rows }) {
    const seen = new Set();
    for (const row of rows) {
      const facts = Object.fromEntries(fields.map((field, i) => [field, row[i]]));
      seen.add(facts.callId);
      let call = this.byId.get(facts.callId);
      if (call === undefined) {
        call = new Call();
        this.byId.set(facts.callId, call);
      }
      call.update(facts);
    }
    for (const [id, call] of this.byId) {
      if (seen.has(id)) continue;
      call.overAt = at;
      this.byId.delete(id);
    }
  }

  /** Of a minute's audio of all calls: 0 to 1. */
  get droppedShare() {
    const shares = [...this.byId.values()].map((call) => call.droppedShare);
    return shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length);
  }

  /** @returns {Call[]} those that match, in order */
  select({ find, direction, state, column, descending }) {
    const wanted = find.trim().toLowerCase();
    const chosen = [...this.byId.values()].filter(
      (call) =>
        (direction === '' || call.direction === direction) &&
        (state === '' || call.state === state) &&
        (wanted === '' ||
          [call.caller, call.called, call.room, call.callId].some((text) =>
            text.toLowerCase().includes(wanted),
          )),
    );
    const sign = descending ? -1 : 1;
    const value = (call) => column.of(call) ?? Number.NEGATIVE_INFINITY;
    return chosen.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      // Equal ones keep the same order in every round.
      if (x === y) return a.callId < b.callId ? -1 : 1;
      return x < y ? -sign : sign;
    });
  }
}
