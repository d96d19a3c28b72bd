import { request } from './api.js';
import { SECONDS } from './calls.js';
import { at, make } from './dom.js';
import { ago, audioTime, duration, latency } from './figures.js';
import { BAD_RESULTS, causeOf } from './words.js';

/** Rows of a page. */
const SIZE = 10;
/** The list is asked for no more often than that. */
const EVERY_MS = 5_000;

/** The calls of the last hour. */
export class EndedTable {
  #calls = [];
  #page = 0;
  #total = -1;
  #askedAt = Number.NEGATIVE_INFINITY;
  #now = 0;
  #limits = {};

  constructor() {
    at('ended-result').addEventListener('input', () => this.#turn(-this.#page));
    at('ended-back').addEventListener('click', () => this.#turn(-1));
    at('ended-on').addEventListener('click', () => this.#turn(1));
  }

  /** Shows a round: asks for the list where another call has ended. */
  show({ at: now, ended, limits }) {
    this.#now = now;
    this.#limits = limits;
    if (ended.total !== this.#total && now - this.#askedAt >= EVERY_MS) void this.#load(ended.total);
    else if (!at('ended-rows').contains(document.activeElement)) this.#render();
  }

  /** Asks again with the next round: the gateway may be another one, or have restarted. */
  reset() {
    this.#total = -1;
    this.#askedAt = Number.NEGATIVE_INFINITY;
  }

  async #load(total) {
    this.#askedAt = this.#now;
    try {
      this.#calls = (await request('GET', 'v1/live/ended')).calls;
      this.#total = total;
    } catch {
      // The next round tries again.
    }
    this.#render();
  }

  #turn(by) {
    this.#page += by;
    this.#render();
  }

  #render() {
    const isFiltered = at('ended-result').value !== '';
    const calls = isFiltered ? this.#calls.filter((call) => this.#isBad(call)) : this.#calls;
    const pages = Math.max(1, Math.ceil(calls.length / SIZE));
    this.#page = Math.max(0, Math.min(this.#page, pages - 1));
    const first = this.#page * SIZE;
    const shown = calls.slice(first, first + SIZE);
    at('ended-rows').replaceChildren(...shown.map((call) => this.#row(call)));
    at('ended-none').hidden = shown.length > 0;
    at('ended-none').textContent = isFiltered
      ? 'Nothing went wrong in the last hour.'
      : 'No call ended in the last hour.';
    at('ended-page').textContent =
      shown.length === 0 ? '' : `${first + 1} to ${first + shown.length} of ${calls.length}`;
    at('ended-back').disabled = this.#page === 0;
    at('ended-on').disabled = this.#page >= pages - 1;
  }

  #isBad({ result, p99Us, droppedMs, durationSeconds }) {
    return BAD_RESULTS.has(result) || this.#isSlow(p99Us) || this.#isLossy(droppedMs, durationSeconds);
  }

  #isSlow(p99Us) {
    return p99Us > this.#limits.latencyP99Us;
  }

  #isLossy(droppedMs, seconds) {
    // As in the table above, a minute at least: one dropped frame of a short call is no fault.
    return droppedMs > this.#limits.droppedShare * 2_000 * Math.max(SECONDS, seconds);
  }

  #row(call) {
    const { callId, caller, called, room, direction, endedAt, durationSeconds, endCause, result } = call;
    const { p99Us, underruns, droppedMs } = call;
    const cell = (label, className, ...children) => {
      const element = make('td', { className, data: { label } }, ...children);
      return element;
    };
    const marked = (element, isBad) => {
      if (isBad) element.dataset.is = 'bad';
      return element;
    };
    const href = `#/calls/${encodeURIComponent(callId)}`;
    return make(
      'tr',
      {},
      make(
        'th',
        { scope: 'row', data: { label: 'Caller' } },
        make('a', { href, className: 'caller', textContent: caller || 'unknown' }),
        make('small', { className: 'id', title: callId, textContent: callId.slice(0, 8) }),
      ),
      cell(
        'Called',
        '',
        make('span', { textContent: called || 'unknown' }),
        make('small', { textContent: room ?? '' }),
      ),
      cell('Direction', '', direction),
      cell('Ended', 'figure', `${ago(this.#now - Date.parse(endedAt))} ago`),
      cell('Lasted', 'figure', duration(durationSeconds ?? 0)),
      marked(cell('Why', 'why', causeOf(endCause)), BAD_RESULTS.has(result)),
      marked(cell('Latency p99', 'figure', latency(p99Us === 0 ? null : p99Us)), this.#isSlow(p99Us)),
      cell('Underruns', 'figure', String(underruns)),
      marked(cell('Dropped', 'figure', audioTime(droppedMs)), this.#isLossy(droppedMs, durationSeconds ?? 0)),
    );
  }
}
