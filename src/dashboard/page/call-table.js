import { at, make, setLevel, setText } from './dom.js';
import { audioTime, duration, latency, level, milliseconds } from './figures.js';
import { spark } from './plots.js';

/** Levels are plotted from a whisper to full scale, dBFS. */
export const LEVELS = () => [-60, 0];

/** Columns: what they are sorted by, and what they mean. */
const COLUMNS = [
  {
    title: 'Caller',
    of: (call) => call.caller,
    meaning:
      'Who calls. The number of the person on the phone is masked but for its last two digits; with it the id of the call.',
  },
  {
    title: 'Called',
    of: (call) => call.called,
    meaning: 'The number that was dialled, and the room of the bridge that the call is in.',
  },
  { title: 'Direction', of: (call) => call.direction, meaning: 'in: they called us; out: we called them.' },
  {
    title: 'State',
    of: (call) => call.state,
    meaning: 'ringing: no audio yet; connecting: the carrier has connected; live: audio flows.',
  },
  { title: 'Time', of: (call) => -call.startedAt, figure: true, meaning: 'Since the call began.' },
  {
    title: 'Caller says',
    of: (call) => call.levelIn,
    meaning: 'Level of what comes from the phone, in dB below full scale, and its last minute.',
  },
  {
    title: 'Caller hears',
    of: (call) => call.levelOut,
    meaning: 'Level of what goes to the phone, and its last minute.',
  },
  {
    title: 'Latency p99',
    of: (call) => call.p99Us,
    meaning: 'In the last second, 99 of 100 frames spent less than this in the gateway.',
  },
  {
    title: 'Buffered',
    of: (call) => call.leadMs,
    meaning: 'Audio that was sent to the phone and is not heard yet.',
  },
  {
    title: 'Underruns',
    of: (call) => call.underruns,
    figure: true,
    meaning: 'Times the phone had nothing left to play in the middle of speech.',
  },
  {
    title: 'Caught up',
    of: (call) => call.caughtUpMs,
    figure: true,
    meaning: 'Silence left out and words shortened, to get rid of delay after a stall.',
  },
  {
    title: 'Dropped',
    of: (call) => call.droppedMs,
    figure: true,
    meaning: 'Audio thrown away, both ways, because it came too late or was not taken.',
  },
];
const ACTIONS = {
  title: 'Actions',
  meaning: 'Listen joins the room without being heard. Hang up asks first.',
};

/** The table of calls, one page of rows at a time. */
export class CallTable {
  #rows = new Map();
  #order = [];
  #page = 0;
  #column = COLUMNS.find(({ title }) => title === 'Time');
  #descending = true;
  #now = 0;
  #deaf = null;
  #limits = {};
  #listeningTo = undefined;

  /**
   * @param {import('./calls.js').Calls} calls
   * @param {import('./plots.js').Plots} plots
   * @param {{ onListen(call: object): void, onHangUp(call: object): void }} actions
   */
  constructor(calls, plots, actions) {
    this.calls = calls;
    this.plots = plots;
    this.actions = actions;
    at('columns').append(...COLUMNS.map((column) => this.#heading(column)), actionsHeading());
    at('sort').append(...COLUMNS.map(({ title }, i) => make('option', { value: i, textContent: title })));
    at('sort').addEventListener('input', () => this.#sortBy(COLUMNS[at('sort').value], true));
    for (const { title, meaning } of [...COLUMNS, ACTIONS]) {
      at('meanings').append(make('dt', { textContent: title }), make('dd', { textContent: meaning }));
    }
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

  /** Shows a round. */
  show({ at: now, deaf, limits }) {
    this.#now = now;
    this.#deaf = deaf;
    this.#limits = limits;
    this.#render(false);
  }

  /** @param {string | undefined} callId the call that is listened to */
  listeningTo(callId) {
    this.#listeningTo = callId;
    for (const row of this.#rows.values()) this.#fill(row);
  }

  /** Rows do not move while the pointer or the focus is among them. */
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
    const isEmpty = this.#order.length === 0;
    at('none').hidden = !isEmpty;
    if (isEmpty) at('none').textContent = this.calls.byId.size === 0 ? 'No calls.' : 'No call matches.';
    at('page').textContent = isEmpty
      ? ''
      : `${first + 1} to ${first + shown.length} of ${this.#order.length}`;
    at('back').disabled = this.#page === 0;
    at('on').disabled = this.#page >= pages - 1;
  }

  /** Puts the rows of these calls in order, and removes all others. */
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
      // A row that is moved loses the focus.
      if (row.element === next) next = next.nextElementSibling;
      else body.insertBefore(row.element, next);
    }
  }

  #row(call) {
    const element = at('row').content.firstElementChild.cloneNode(true);
    const part = (name) => element.querySelector(`.${name}`);
    const [levelIn, levelOut, p99, lead] = element.querySelectorAll('canvas');
    const { series } = call;
    const names = ['called', 'room', 'state', 'duration', 'levelIn', 'levelOut', 'p99Us', 'leadMs'];
    names.push('underruns', 'caughtUpMs', 'droppedMs', 'listen', 'hang-up');
    const row = {
      call,
      element,
      parts: Object.fromEntries(names.map((name) => [name, part(name)])),
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
    const href = `#/calls/${encodeURIComponent(call.callId)}`;
    part('id').before(make('a', { href, className: 'caller', textContent: call.caller || 'unknown' }));
    part('id').textContent = call.callId.slice(0, 8);
    part('id').title = call.callId;
    part('direction').textContent = call.direction;
    for (const [i, { title }] of COLUMNS.entries()) element.children[i].dataset.label = title;
    row.parts['hang-up'].setAttribute('aria-label', `Hang up ${call.who}`);
    row.parts['hang-up'].addEventListener('click', () => this.actions.onHangUp(call));
    row.parts.listen.addEventListener('click', () => this.actions.onListen(call));
    return row;
  }

  #fill({ call, element, parts }) {
    const state = call.isOver ? 'ended' : call.state;
    setText(parts.called, call.called || 'unknown');
    setText(parts.room, call.room);
    setText(parts.state, state);
    parts.state.dataset.is = state;
    element.classList.toggle('over', call.isOver);
    setText(parts.duration, duration(call.secondsAt(Math.min(call.overAt, this.#now))));
    setText(parts.levelIn, level(call.levelIn));
    setText(parts.levelOut, level(call.levelOut));
    setText(parts.p99Us, latency(call.p99Us));
    setText(parts.leadMs, milliseconds(call.leadMs));
    setText(parts.underruns, String(call.underruns));
    setText(parts.caughtUpMs, audioTime(call.caughtUpMs));
    setText(parts.droppedMs, audioTime(call.droppedMs));
    const isSlow = call.p99Us > this.#limits.latencyP99Us;
    const isLossy = call.droppedShare > this.#limits.droppedShare;
    setLevel(parts.p99Us, isSlow ? 'bad' : 'good');
    setLevel(parts.droppedMs, isLossy ? 'bad' : 'good');
    element.classList.toggle('bad', isSlow || isLossy);
    const isHeard = this.#listeningTo === call.callId;
    setText(parts.listen, isHeard ? 'Stop' : 'Listen');
    parts.listen.setAttribute('aria-label', `${isHeard ? 'Stop listening to' : 'Listen to'} ${call.who}`);
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
    button.title = column.meaning;
    button.addEventListener('click', () =>
      this.#sortBy(column, this.#column === column ? !this.#descending : true),
    );
    heading.append(button);
    return heading;
  }

  #sortBy(column, descending) {
    this.#descending = descending;
    this.#column = column;
    this.#page = 0;
    this.#markSorted();
    this.#render(true);
  }

  #markSorted() {
    for (const [i, column] of COLUMNS.entries()) {
      const heading = at('columns').children[i];
      if (column === this.#column) {
        heading.ariaSort = this.#descending ? 'descending' : 'ascending';
        at('sort').value = i;
      } else heading.removeAttribute('aria-sort');
    }
  }
}

function actionsHeading() {
  return make('th', {
    scope: 'col',

    className: 'actions',
    title: ACTIONS.meaning,
    textContent: ACTIONS.title,
  });
}
