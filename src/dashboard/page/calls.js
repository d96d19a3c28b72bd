/** Seconds that a plot shows. */
export const SECONDS = 60;

/** The last minute of a figure, a value a second; NaN where there was none. */
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
}

/** Figures of a call that are plotted. */
const PLOTTED = ['levelIn', 'levelOut', 'p99Us', 'leadMs'];

/** A call as the gateway told of it last, and its last minute. */
export class Call {
  /** When it was found to be over, by the gateway's clock. */
  overAt = Number.POSITIVE_INFINITY;
  series = Object.fromEntries(PLOTTED.map((name) => [name, new Series()]));

  /** @param {Record<string, unknown>} facts */
  take(facts) {
    Object.assign(this, facts);
    for (const name of PLOTTED) this.series[name].push(facts[name]);
  }

  get isOver() {
    return this.overAt !== Number.POSITIVE_INFINITY;
  }

  /** Seconds since it began, by the gateway's clock. */
  secondsAt(at) {
    return Math.max(0, Math.floor((at - this.startedAt) / 1_000));
  }
}

/** All calls of the node. */
export class Calls {
  /** @type {Map<string, Call>} */
  byId = new Map();

  /** Takes a round: rows in place of objects, for there are many. */
  take({ at, fields, rows }) {
    const seen = new Set();
    for (const row of rows) {
      const facts = Object.fromEntries(fields.map((field, i) => [field, row[i]]));
      seen.add(facts.callId);
      let call = this.byId.get(facts.callId);
      if (call === undefined) {
        call = new Call();
        this.byId.set(facts.callId, call);
      }
      call.take(facts);
    }
    for (const [id, call] of this.byId) {
      if (seen.has(id)) continue;
      call.overAt = at;
      this.byId.delete(id);
    }
  }

  /** @returns {Call[]} those that match, in order */
  select({ find, direction, state, column, descending }) {
    const wanted = find.trim().toLowerCase();
    const chosen = [...this.byId.values()].filter(
      (call) =>
        (direction === '' || call.direction === direction) &&
        (state === '' || call.state === state) &&
        (wanted === '' ||
          call.number.toLowerCase().includes(wanted) ||
          call.callId.toLowerCase().includes(wanted)),
    );
    const sign = descending ? -1 : 1;
    const value = (call) => column.of(call) ?? Number.NEGATIVE_INFINITY;
    return chosen.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      // The same order every time, whatever is equal.
      if (x === y) return a.callId < b.callId ? -1 : 1;
      return x < y ? -sign : sign;
    });
  }
}
