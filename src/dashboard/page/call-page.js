import { request } from './api.js';
import { LEVELS } from './call-table.js';
import { whoIs } from './calls.js';
import { controlForms } from './controls.js';
import { at, fillFacts, make, setLevel, setText } from './dom.js';
import { audioTime, duration, latency, level, milliseconds, timeOfDay } from './figures.js';
import { spark } from './plots.js';
import { BAD_RESULTS, causeOf } from './words.js';

/** Polling interval for a running call. */
const EVERY_MS = 2_000;
/** Stages of a frame's way, in the words of the page. */
const STAGES = {
  gateway: 'whole way through the gateway',
  transcodeIn: 'decoding',
  decodedLeg: 'to the bridge',
  legEncoded: 'from the bridge',
  transcodeOut: 'encoding',
  encodedSocket: 'to the socket',
  intakeJitter: 'jitter of what comes in',
};

/** The page of one call: what it is, what happened, and what can be done. */
export class CallPage {
  #callId = '';
  #call = undefined;
  #listeningTo = undefined;
  #deaf = null;
  #loadedAt = 0;
  #plots = [];

  /**
   * @param {import('./calls.js').Calls} calls
   * @param {import('./plots.js').Plots} plots
   * @param {{ onListen(call: object): void, onHangUp(call: object): void }} actions
   */
  constructor(calls, plots, actions) {
    this.calls = calls;
    this.plots = plots;
    this.actions = actions;
  }

  /** @param {string} callId empty to close the page */
  open(callId) {
    for (const plot of this.#plots.splice(0)) this.plots.remove(plot);
    this.#callId = callId;
    this.#call = undefined;
    this.#loadedAt = 0;
    at('call').hidden = callId === '';
    at('controls').replaceChildren();
    at('history').replaceChildren();
    for (const id of ['call-facts', 'call-figures']) fillFacts(at(id), []);
    at('call-now').hidden = true;
    at('call-controls').hidden = true;
    at('call-missing').hidden = true;
    if (callId === '') return;
    setText(at('call-title'), `Call ${callId.slice(0, 8)}`);
    const series = (name) => () => this.#live?.series[name];
    this.#plots.push(
      this.plots.add(at('call-in-plot'), spark(series('levelIn'), LEVELS)),
      this.plots.add(at('call-out-plot'), spark(series('levelOut'), LEVELS, 'second')),
      this.plots.add(
        at('call-p99-plot'),
        spark(series('p99Us'), (of) => [0, Math.max(500, 1.15 * of.largest)]),
      ),
      this.plots.add(
        at('call-lead-plot'),
        spark(series('leadMs'), (of) => [0, Math.max(120, 1.15 * of.largest)]),
      ),
    );
    void this.#load();
  }

  /** @param {string | undefined} callId the call that is listened to */
  listeningTo(callId) {
    this.#listeningTo = callId;
    this.#fillListen();
  }

  #fillListen() {
    const button = at('controls').querySelector('.listen');
    if (button === null) return;
    const isHeard = this.#listeningTo === this.#callId;
    setText(button, isHeard ? 'Stop' : 'Listen');
    button.setAttribute('aria-pressed', String(isHeard));
    button.disabled = this.#deaf !== null;
    button.title = this.#deaf === null ? '' : `Not possible: ${this.#deaf}`;
  }

  /** Shows a round. */
  show({ limits, deaf }) {
    this.#deaf = deaf;
    if (this.#callId === '') return;
    const live = this.#live;
    at('call-now').hidden = live === undefined;
    if (live !== undefined) {
      const part = (name) => at('call-now').querySelector(`.${name}`);
      setText(part('levelIn'), level(live.levelIn));
      setText(part('levelOut'), level(live.levelOut));
      setText(part('p99Us'), latency(live.p99Us));
      setText(part('leadMs'), milliseconds(live.leadMs));
      setLevel(at('call-p99'), live.p99Us > limits.latencyP99Us ? 'bad' : 'good');
    }
    if (this.#call?.state !== 'ended' && performance.now() - this.#loadedAt >= EVERY_MS) void this.#load();
  }

  get #live() {
    return this.calls.byId.get(this.#callId);
  }

  async #load() {
    const callId = this.#callId;
    this.#loadedAt = performance.now();
    try {
      const call = await request('GET', `v1/live/calls/${encodeURIComponent(callId)}`);
      if (callId === this.#callId) this.#render(call);
    } catch (error) {
      if (callId !== this.#callId || this.#call !== undefined) return;
      at('call-missing').hidden = false;
      setText(at('call-missing'), error.message);
    }
  }

  #render(call) {
    this.#call = call;
    const { direction, caller, called, state, endCause, result, startedAt, endedAt, durationSeconds } = call;
    at('call-missing').hidden = true;
    setText(at('call-title'), `${caller || 'unknown'} → ${called || 'unknown'}`);
    document.title = `${whoIs(call)} · Trunkline`;
    const seconds = durationSeconds ?? (Date.now() - Date.parse(startedAt)) / 1_000;
    const notes = [call.held && 'on hold', call.muted && `muted: ${call.muted}`].filter(Boolean);
    const isRunning = state !== 'ended';
    fillFacts(at('call-facts'), [
      ['State', isRunning ? [state, ...notes].join(', ') : state],
      ['Direction', direction],
      ['Room', call.room],
      ['Began', timeOfDay(startedAt)],
      ['Ended', endedAt && timeOfDay(endedAt)],
      [isRunning ? 'Time' : 'Lasted', duration(Math.max(0, seconds))],
      ['Why it ended', endCause && causeOf(endCause), BAD_RESULTS.has(result) ? 'bad' : ''],
      ['Last Twilio status', call.status],
      ['Answered by', call.answeredBy],
      ['Call id', call.callId],
      ['Twilio call', call.callSid],
      ['Stream', call.streamSid],
    ]);
    this.#renderHistory(call);
    this.#renderFigures(call);
    at('call-controls').hidden = !isRunning;
    if (isRunning && at('controls').childElementCount === 0) this.#addControls(call);
  }

  #addControls(call) {
    const listen = make('button', { type: 'button', textContent: 'Listen', className: 'listen' });
    listen.addEventListener('click', () => this.actions.onListen(call));
    const hangUp = make('button', { type: 'button', textContent: 'Hang up', className: 'danger hang-up' });
    hangUp.addEventListener('click', () => this.actions.onHangUp(call));
    at('controls').append(
      ...controlForms(call.callId, () => void this.#load()),
      make(
        'form',
        { className: 'control', ariaLabel: 'Listen or hang up' },
        make('h3', { textContent: 'Listen, hang up' }),
        make('p', {
          className: 'about',
          textContent: 'Listening is not heard. A call that is hung up ends for both sides.',
        }),
        make('div', { className: 'buttons' }, listen, hangUp),
      ),
    );
    this.#fillListen();
  }

  /** Callbacks of the carrier and events of the gateway, in the order of their times. */
  #renderHistory({ history = [], events }) {
    const entries = [
      ...history.map(({ at: when, source, event, error }) => ({
        when,
        what: event,
        from: `Twilio ${source}`,
        more: error ?? '',
      })),
      ...events.map(({ at: when, type, data }) => ({ when, what: type, from: 'event', more: wordsOf(data) })),
    ].sort((a, b) => Date.parse(a.when) - Date.parse(b.when));
    const key = JSON.stringify(entries);
    if (at('history').entries === key) return;
    at('history').entries = key;
    at('history').replaceChildren(
      ...entries.map(({ when, what, from, more }) =>
        make(
          'li',
          {},
          make('time', { dateTime: when, textContent: timeOfDay(when) }),
          make('b', { textContent: what }),
          make('small', { textContent: from }),
          make('span', { textContent: more }),
        ),
      ),
    );
  }

  #renderFigures({ traffic, latency: stages, playedMs }) {
    if (traffic === undefined) return;
    const dropped = 20 * (traffic.droppedIntake + traffic.droppedLead + traffic.droppedBackpressure);
    fillFacts(at('call-figures'), [
      ['Frames from the phone', traffic.framesIn.toLocaleString('en')],
      ['Frames to the phone', traffic.framesOut.toLocaleString('en')],
      ['Heard by the caller', playedMs === undefined ? '' : audioTime(playedMs)],
      ['Underruns', traffic.underruns],
      ['Dropped', audioTime(dropped)],
      ['Caught up', audioTime(traffic.silenceDroppedMs + traffic.shortenedMs)],
      ['Keys pressed', traffic.dtmf],
      ['Messages not understood', traffic.badMessages],
      ...Object.entries(STAGES).flatMap(([stage, words]) => {
        const { count = 0, p50Us, p99Us, maxUs } = stages?.[stage] ?? {};
        if (count === 0) return [];
        return [
          [
            `Latency, ${words}`,
            `median ${latency(p50Us)}, p99 ${latency(p99Us)}, longest ${latency(maxUs)}`,
            'wide',
          ],
        ];
      }),
    ]);
  }
}

/** The data of an event in words. */
function wordsOf(data) {
  return Object.entries(data)
    .map(([name, value]) => `${name}: ${typeof value === 'number' ? Math.round(10 * value) / 10 : value}`)
    .join(', ');
}
