import { duration, lasting, latency, level, milliseconds } from './figures.js';
import { spark } from './plots.js';

const at = (id) => document.getElementById(id);
/** Levels are plotted from a whisper's to full scale, dBFS. */
const LEVELS = () => [-60, 0];

/** Columns, and what they are sorted by. */
const COLUMNS = [
  { title: 'Number', of: (call) => call.number },
  { title: 'Way', of: (call) => call.direction },
  { title: 'State', of: (call) => call.state },
  { title: 'Time', of: (call) => -call.startedAt, figure: true },
  { title: 'Caller says', of: (call) => call.levelIn },
  { title: 'Caller hears', of: (call) => call.levelOut },
  { title: 'Latency p99', of: (call) => call.p99Us },
  { title: 'Lead', of: (call) => call.leadMs },
  { title: 'Dry', of: (call) => call.underruns, figure: true },
  { title: 'Caught up', of: (call) => call.caughtUpMs, figure: true },
  { title: 'Dropped', of: (call) => call.droppedMs, figure: true },
];

/** A page of calls: as many rows as it has, however many calls there are. */
export class CallTable {
  #rows = new Map();
  #order = [];
  #page = 0;
  #column = COLUMNS[3];
  #descending = true;
  #at = 0;
  #deaf = null;
  #listeningTo = undefined;

  /**
   * @param {import('./calls.js').Calls} calls
   * @param {import('./plots.js').Plots} plots
   * @param {{ onListen(call: object): void, onHangUp(call: object): void }} told
   */
  constructor(calls, plots, told) {
    this.calls = calls;
    this.plots = plots;
    this.told = told;
    at('columns').append(...COLUMNS.map((column) => this.#heading(column)), actions());
    for (const id of ['find', 'direction', 'state', 'size']) {
      at(id).addEventListener('input', () => {
        this.#page = 0;
        this.#render(true);
      });
    }
    at('back').addEventListener('click', () => this.#turn(-1));
    at('on').addEventListener('click', () => this.#turn(1));
    this.#markSorted();
  }

  /** A round has come. */
  show({ at: now, deaf }) {
    this.#at = now;
    this.#deaf = deaf;
    this.#render(false);
  }

  /** @param {string | undefined} callId the call that is listened to */
  listeningTo(callId) {
    this.#listeningTo = callId;
    for (const row of this.#rows.values()) this.#fill(row);
  }

  /** Rows do not move under a pointer, or from a keyboard's focus. */
  get #isHeld() {
    const rows = at('rows');
    return rows.matches(':hover') || rows.contains(document.activeElement) || at('confirm').open;
  }

  #render(isAsked) {
    const isHeld = !isAsked && this.#isHeld;
    if (!isHeld) {
      this.#order = this.calls.select({
        find: at('find').value,
        direction: at('direction').value,
        state: at('state').value,
        column: this.#column,
        descending: this.#descending,
      });
    }
    const size = Number(at('size').value);
    const pages = Math.max(1, Math.ceil(this.#order.length / size));
    this.#page = Math.min(this.#page, pages - 1);
    const first = this.#page * size;
    const shown = this.#order.slice(first, first + size);
    this.#place(shown);
    for (const row of this.#rows.values()) this.#fill(row);
    at('held').hidden = !isHeld;
    const none = this.#order.length === 0;
    at('none').hidden = !none;
    if (none) at('none').textContent = this.calls.byId.size === 0 ? 'No calls now.' : 'No call matches.';
    at('page').textContent = none ? '' : `${first + 1} to ${first + shown.length} of ${this.#order.length}`;
    at('back').disabled = this.#page === 0;
    at('on').disabled = this.#page >= pages - 1;
  }

  /** These calls' rows, in this order; the rows of others go. */
  #place(calls) {
    const wanted = new Set(calls);
    for (const [call, row] of this.#rows) {
      if (wanted.has(call)) continue;
      for (const plot of row.plots) this.plots.remove(plot);
      row.element.remove();
      this.#rows.delete(call);
    }
    const body = at('rows');
    let next = body.firstElementChild;
    for (const call of calls) {
      let row = this.#rows.get(call);
      if (row === undefined) {
        row = this.#row(call);
        this.#rows.set(call, row);
      }
      // A row that is where it belongs is not touched: it would lose the focus.
      if (row.element === next) next = next.nextElementSibling;
      else body.insertBefore(row.element, next);
    }
  }

  #row(call) {
    const element = at('row').content.firstElementChild.cloneNode(true);
    const part = (name) => element.querySelector(`.${name}`);
    const [levelIn, levelOut, p99, lead] = element.querySelectorAll('canvas');
    const { series } = call;
    const row = {
      call,
      element,
      parts: Object.fromEntries(
        [
          'state',
          'duration',
          'levelIn',
          'levelOut',
          'p99Us',
          'leadMs',
          'underruns',
          'caughtUpMs',
          'droppedMs',
          'listen',
          'hang-up',
        ].map((name) => [name, part(name)]),
      ),
      plots: [
        this.plots.add(
          levelIn,
          spark(() => series.levelIn, LEVELS),
        ),
        this.plots.add(
          levelOut,
          spark(() => series.levelOut, LEVELS, 'second'),
        ),
        this.plots.add(
          p99,
          spark(
            () => series.p99Us,
            (of) => [0, Math.max(500, 1.15 * of.largest)],
          ),
        ),
        this.plots.add(
          lead,
          spark(
            () => series.leadMs,
            (of) => [0, Math.max(120, 1.15 * of.largest)],
          ),
        ),
      ],
    };
    part('number').textContent = call.number || 'unknown';
    part('id').textContent = call.callId.slice(0, 8);
    part('id').title = call.callId;
    part('direction').textContent = call.direction;
    const who = `${call.number || 'unknown'}, ${call.callId.slice(0, 8)}`;
    row.parts['hang-up'].setAttribute('aria-label', `Hang up ${who}`);
    row.parts['hang-up'].addEventListener('click', () => this.told.onHangUp(call));
    row.who = who;
    row.parts.listen.addEventListener('click', () => this.told.onListen(call));
    return row;
  }

  #fill({ call, element, parts, who }) {
    const state = call.isOver ? 'ended' : call.state;
    set(parts.state, state);
    parts.state.dataset.is = state;
    element.classList.toggle('over', call.isOver);
    set(parts.duration, duration(call.secondsAt(Math.min(call.overAt, this.#at))));
    set(parts.levelIn, level(call.levelIn));
    set(parts.levelOut, level(call.levelOut));
    set(parts.p99Us, latency(call.p99Us));
    set(parts.leadMs, milliseconds(call.leadMs));
    set(parts.underruns, String(call.underruns));
    set(parts.caughtUpMs, lasting(call.caughtUpMs));
    set(parts.droppedMs, lasting(call.droppedMs));
    const isHeard = this.#listeningTo === call.callId;
    set(parts.listen, isHeard ? 'Stop' : 'Listen');
    parts.listen.setAttribute('aria-label', `${isHeard ? 'Stop listening to' : 'Listen to'} ${who}`);
    parts.listen.setAttribute('aria-pressed', String(isHeard));
    parts.listen.disabled = this.#deaf !== null || call.isOver;
    parts.listen.title = this.#deaf === null ? '' : `Not possible: ${this.#deaf}`;
    parts['hang-up'].disabled = call.isOver;
  }

  #turn(by) {
    this.#page = Math.max(0, this.#page + by);
    this.#render(true);
  }

  #heading(column) {
    const heading = document.createElement('th');
    heading.scope = 'col';
    if (column.figure) heading.className = 'figure';
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = column.title;
    button.addEventListener('click', () => {
      this.#descending = this.#column === column ? !this.#descending : true;
      this.#column = column;
      this.#page = 0;
      this.#markSorted();
      this.#render(true);
    });
    heading.append(button);
    return heading;
  }

  #markSorted() {
    for (const [i, column] of COLUMNS.entries()) {
      const heading = at('columns').children[i];
      if (column === this.#column) heading.ariaSort = this.#descending ? 'descending' : 'ascending';
      else heading.removeAttribute('aria-sort');
    }
  }
}

/** Only what changed: the rest of the page need not be looked at again. */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function actions() {
  const heading = document.createElement('th');
  heading.scope = 'col';
  heading.className = 'do';
  heading.textContent = 'Do';
  return heading;
}
