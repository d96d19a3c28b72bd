import { SECONDS, Series } from './calls.js';
import { latency, milliseconds } from './figures.js';
import { spark } from './plots.js';

const at = (id) => document.getElementById(id);

const CLOSURES = {
  draining: 'closed: draining',
  full: 'closed: full',
  media: 'closed: media workers late',
  descriptors: 'closed: no descriptors left',
  loop_delay: 'closed: event loop late',
  cpu: 'closed: processor busy',
};
/** Ticks of the histogram's axis, microseconds. */
const TICKS = [10, 100, 1_000, 10_000, 100_000];
/** Space below the bars for the axis, px. */
const AXIS = 18;

/** The gateway as a whole: tiles, histogram, nodes. */
export class GatewayView {
  #series = { calls: new Series(), p99: new Series(), loop: new Series(), cpu: new Series() };
  /** A minute of histograms, one a second. */
  #histograms = [];
  #edgesUs = [];
  #sum = [];

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

  show(round) {
    const { gateway, nodes } = round;
    this.#series.calls.push(round.calls);
    this.#series.p99.push(gateway.p99Us);
    this.#series.loop.push(round.loopDelayMs);
    this.#series.cpu.push(round.cpuPercent);
    at('where').textContent = `node ${round.node} · bridge ${round.bridge} · ${round.version}`;
    at('calls-count').textContent = round.calls;
    at('calls-most').textContent = `of ${round.maxCalls}`;
    at('admission').textContent =
      round.closure === null ? 'open' : (CLOSURES[round.closure] ?? `closed: ${round.closure}`);
    at('admission').dataset.is = round.closure === null ? 'open' : 'closed';
    const refused = Object.values(round.refused).reduce((sum, count) => sum + count, 0);
    at('refused').textContent = refused === 0 ? 'none turned away' : `${refused} turned away`;
    at('p99').textContent = latency(gateway.p99Us);
    at('p50').textContent = gateway.p50Us === null ? '' : `median ${latency(gateway.p50Us)}`;
    at('loop').textContent = milliseconds(round.loopDelayMs);
    at('cpu').textContent = `${Math.round(round.cpuPercent)} %`;
    this.#count(gateway);
    this.#showNodes(nodes, round);
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
        ? 'no frame yet'
        : `${total.toLocaleString('en')} frames: half ${under(0.5)}, 99 % ${under(0.99)}, 99.9 % ${under(0.999)}`;
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
      // What is rare is what is looked for: at least two pixels.
      const tall = Math.max(2, (count / most) * (bottom - 4));
      context.fillRect(i * step + 1, bottom - tall, step - 2, tall);
    }
    context.fillStyle = colours.line;
    context.fillRect(0, bottom, width, 1);
    context.fillStyle = colours.muted;
    context.font = '12px system-ui, sans-serif';
    context.textAlign = 'center';
    // Two bins a power of two, the first up to the first edge.
    for (const tick of TICKS) {
      const x = (1 + 2 * Math.log2(tick / this.#edgesUs[0])) * step;
      context.fillRect(x, bottom, 1, 4);
      context.fillText(latency(tick), x, height - 3);
    }
  }

  #showNodes(nodes, { node, registry }) {
    at('fleet').hidden = nodes.length === 0;
    at('nodes').replaceChildren(
      ...nodes.map((each) => {
        const item = document.createElement('li');
        const is = each.draining ? 'draining' : each.open ? 'open' : 'closed';
        item.dataset.is = is;
        item.textContent = `${each.node}${each.node === node ? ' (this one)' : ''}: ${each.calls} calls, ${is}`;
        return item;
      }),
    );
    if (registry !== 'down') return;
    const item = document.createElement('li');
    item.dataset.is = 'closed';
    item.textContent = 'The registry is down: the other nodes are not known, new callers hear busy.';
    at('nodes').append(item);
  }
}
