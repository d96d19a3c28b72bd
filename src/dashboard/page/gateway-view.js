import { alarmsOf } from './alarms.js';
import { SECONDS, Series } from './calls.js';
import { at, make, setLevel, setText } from './dom.js';
import { latency, milliseconds, share } from './figures.js';
import { spark } from './plots.js';
import { reasonOf } from './words.js';

/** Tiles that an alarm may mark. */
const TILES = ['calls', 'admission', 'p99', 'dropped', 'loop', 'cpu'];

/** Ticks of the histogram's axis, microseconds. */
const TICKS = [10, 100, 1_000, 10_000, 100_000];
/** Space below the bars for the axis, px. */
const AXIS = 18;

/** The gateway as a whole: alarms, tiles, histogram, nodes. */
export class GatewayView {
  #series = { calls: new Series(), p99: new Series(), loop: new Series(), cpu: new Series() };
  /** A minute of histograms, one a second. */
  #histograms = [];
  #edgesUs = [];
  #sum = [];
  /** The alarms that were announced last, without their figures. */
  #kinds = '';

  /** @param {import('./plots.js').Plots} plots */
  constructor(plots) {
    const fromZero = (least) => (series) => [0, Math.max(least, 1.15 * series.largest)];
    plots.add(
      at('calls-plot'),
      spark(() => this.#series.calls, fromZero(4)),
    );
    plots.add(
      at('p99-plot'),
      spark(() => this.#series.p99, fromZero(200)),
    );
    plots.add(
      at('loop-plot'),
      spark(() => this.#series.loop, fromZero(10)),
    );
    plots.add(
      at('cpu-plot'),
      spark(() => this.#series.cpu, fromZero(25)),
    );
    plots.add(at('histogram'), (draw) => this.#paint(draw));
  }

  /** @param {object} round @param {number} droppedShare of the last minute's audio, 0 to 1 */
  show(round, droppedShare) {
    const { gateway, nodes, limits, refused, closure } = round;
    this.#series.calls.push(round.calls);
    this.#series.p99.push(gateway.p99Us);
    this.#series.loop.push(round.loopDelayMs);
    this.#series.cpu.push(round.cpuPercent);
    at('where').textContent = `node ${round.node} · bridge ${round.bridge} · ${round.version}`;
    at('calls-count').textContent = round.calls;
    at('calls-most').textContent = `of ${round.maxCalls}`;
    at('admission').textContent = closure === null ? 'accepted' : 'busy';
    at('admission').dataset.is = closure === null ? 'open' : 'closed';
    at('refused').replaceChildren(...refusals(refused));
    at('dropped').textContent = share(droppedShare);
    at('p99').textContent = latency(gateway.p99Us);
    at('p50').textContent = gateway.p50Us === null ? '' : `median ${latency(gateway.p50Us)}`;
    at('loop').textContent = milliseconds(round.loopDelayMs);
    at('cpu').textContent = `${Math.round(round.cpuPercent)} %`;
    at('loop-most').textContent = limits.maxLoopDelayMs > 0 ? `of ${limits.maxLoopDelayMs} ms` : '';
    at('cpu-most').textContent = limits.maxCpuPercent > 0 ? `of ${limits.maxCpuPercent} %` : 'of one core';
    this.#showAlarms(alarmsOf(round, droppedShare));
    this.#count(gateway);
    this.#showNodes(nodes, round);
  }

  #showAlarms(alarms) {
    at('alarms').hidden = alarms.length === 0;
    at('alarms').replaceChildren(
      ...alarms.map(({ level, text }) => make('li', { data: { is: level }, textContent: text })),
    );
    // Figures change every second: a screen reader announces only other alarms than before.
    const kinds = alarms.map(({ text }) => text.replace(/[\d.]+ ?(\w?s|min|%)?/g, '')).join();
    if (kinds !== this.#kinds) {
      this.#kinds = kinds;
      setText(at('alarms-said'), alarms.map(({ text }) => text).join(' ') || 'No alarm.');
    }
    for (const tile of TILES)
      setLevel(at(`${tile}-tile`), alarms.find((each) => each.tile === tile)?.level ?? 'good');
  }

  #count({ edgesUs, counts }) {
    this.#edgesUs = edgesUs;
    this.#histograms.push(counts);
    if (this.#histograms.length > SECONDS) this.#histograms.shift();
    this.#sum = counts.map((_, i) => this.#histograms.reduce((sum, each) => sum + each[i], 0));
    const total = this.#sum.reduce((sum, count) => sum + count, 0);
    const under = (share) => {
      let seen = 0;
      const bin = this.#sum.findIndex((count) => {
        seen += count;
        return seen >= share * total;
      });
      return edgesUs[bin] === undefined
        ? `over ${latency(edgesUs.at(-1))}`
        : `under ${latency(edgesUs[bin])}`;
    };
    const said =
      total === 0
        ? 'no frames yet'
        : `${total.toLocaleString('en')} frames: median ${under(0.5)}, p99 ${under(0.99)}, p99.9 ${under(0.999)}`;
    at('histogram-said').textContent = said;
    at('histogram').setAttribute('aria-label', `Histogram of latency: ${said}`);
  }

  #paint({ context, width, height, colours }) {
    const counts = this.#sum;
    if (counts.length === 0) return;
    const bottom = height - AXIS;
    const most = Math.max(1, ...counts);
    const step = width / counts.length;
    context.fillStyle = colours.accent;
    for (const [i, count] of counts.entries()) {
      if (count === 0) continue;
      // Rare values matter most: at least two pixels.
      const tall = Math.max(2, (count / most) * (bottom - 4));
      context.fillRect(i * step + 1, bottom - tall, step - 2, tall);
    }
    context.fillStyle = colours.line;
    context.fillRect(0, bottom, width, 1);
    context.fillStyle = colours.muted;
    context.font = '12px system-ui, sans-serif';
    // Two bins a power of two, the first up to the first edge.
    for (const tick of TICKS) {
      const x = (1 + 2 * Math.log2(tick / this.#edgesUs[0])) * step;
      context.fillRect(x, bottom, 1, 4);
      context.textAlign = x > width - 24 ? 'right' : 'center';
      context.fillText(latency(tick), x > width - 24 ? width : x, height - 3);
    }
  }

  #showNodes(nodes, { node, registry }) {
    at('fleet').hidden = nodes.length === 0;
    const items = nodes.map((each) => {
      const is = each.draining ? 'draining' : each.open ? 'open' : 'closed';
      const name = each.node === node ? `${each.node} (this one)` : each.node;
      return { is, text: `${name}: ${each.calls} calls, ${is}` };
    });
    if (registry === 'down')
      items.push({ is: 'closed', text: 'The other nodes are unknown: the registry is down.' });
    at('nodes').replaceChildren(
      ...items.map(({ is, text }) => make('li', { data: { is }, textContent: text })),
    );
  }
}

/** Rejected calls by cause, the most frequent first. */
function refusals(refused) {
  const causes = Object.entries(refused).sort(([, a], [, b]) => b - a);
  if (causes.length === 0) return ['none rejected'];
  const items = causes.map(([reason, count]) =>
    make('li', { textContent: `${count} busy because ${reasonOf(reason)}` }),
  );
  return [make('ul', {}, ...items)];
}
