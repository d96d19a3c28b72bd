/** A line of a plot. */
export interface PlotLine {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** A bar of a histogram. */
export interface PlotBar {
  /** The upper end of its bin. */
  readonly upTo: number;
  readonly count: number;
}

/** Narrow enough that its text can be read on a phone. */
const [WIDTH, HEIGHT] = [440, 240];
const [LEFT, RIGHT, TOP, BOTTOM] = [56, 16, 28, 44];
const [END, FLOOR] = [WIDTH - RIGHT, HEIGHT - BOTTOM];
const TICKS = 5;
/** Bars that have a label below: every n-th, so that no more than these do. */
const MOST_LABELS = 7;

/**
 * Lines over the seconds of a run, as a figure with inline SVG. Colours are the page's (`--line-0` …, `--grid`), so that it can be
 * read in dark and light.
 */
export function linePlot(title: string, unit: string, lines: readonly PlotLine[]): string {
  const all = lines.flatMap((line) => line.points);
  const end = Math.max(1, ...all.map(([x]) => x));
  const ticks = ticksTo(end).ticks.filter((x) => x <= end);
  const ys = ticksTo(Math.max(0, ...all.map(([, y]) => y)) || 1);
  const px = (x: number) => (LEFT + (x / end) * (END - LEFT)).toFixed(1);
  const py = (y: number) => (FLOOR - (y / ys.to) * (FLOOR - TOP)).toFixed(1);
  const labels = ticks.map((x) => label(px(x), figure(x)));
  const curves = lines.map(({ points }, i) => {
    const path = points.map(([x, y], n) => `${n === 0 ? 'M' : 'L'}${px(x)} ${py(y)}`).join('');
    return `<path d="${path}" class="line" style="stroke:var(--line-${i})"/>`;
  });
  const keys = lines.map(
    ({ name }, i) => `<span><i style="background:var(--line-${i})"></i>${escaped(name)}</span>`,
  );
  return plot(title, unit, 'seconds', ys, [...labels, ...curves], keys);
}

/** How many values there are of each size, as a figure with inline SVG. */
export function histogramPlot(title: string, unit: string, bars: readonly PlotBar[]): string {
  const ys = ticksTo(Math.max(1, ...bars.map(({ count }) => count)));
  const step = (END - LEFT) / Math.max(1, bars.length);
  const every = 2 * Math.ceil(bars.length / (2 * MOST_LABELS));
  const parts = bars.flatMap(({ upTo, count }, i) => {
    const left = LEFT + i * step;
    // Rare values matter most: at least two pixels.
    const height = count === 0 ? 0 : Math.max(2, (count / ys.to) * (FLOOR - TOP));
    const bar =
      `<rect x="${(left + 1).toFixed(1)}" y="${(FLOOR - height).toFixed(1)}" width="${Math.max(1, step - 2).toFixed(1)}" ` +
      `height="${height.toFixed(1)}" class="bar"><title>${count} up to ${figure(upTo)} ${escaped(unit)}</title></rect>`;
    return i % every === 0 ? [bar, label((left + step).toFixed(1), figure(upTo))] : [bar];
  });
  return plot(title, 'frames', `${unit}, each bar up to`, ys, parts, []);
}

/** Axes, grid and key of a plot around its parts. */
function plot(
  title: string,
  unit: string,
  below: string,
  ys: { readonly to: number; readonly ticks: readonly number[] },
  parts: readonly string[],
  keys: readonly string[],
): string {
  const py = (y: number) => (FLOOR - (y / ys.to) * (FLOOR - TOP)).toFixed(1);
  const axes = [
    ...ys.ticks.map((y) => `<path d="M${LEFT} ${py(y)}H${END}" class="grid"/>`),
    ...ys.ticks.map((y) => `<text x="${LEFT - 8}" y="${py(y)}" dy="4" text-anchor="end">${figure(y)}</text>`),
    `<text x="${(LEFT + END) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(below)}</text>`,
    `<text x="${LEFT}" y="16">${escaped(unit)}</text>`,
  ];
  const key = keys.length === 0 ? '' : `<div class="key">${keys.join('')}</div>`;
  return (
    `<figure><figcaption>${escaped(title)}${key}</figcaption>` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">` +
    `${[...axes, ...parts].join('')}</svg></figure>`
  );
}

/** A figure below the axis. */
function label(x: string, text: string): string {
  return `<text x="${x}" y="${FLOOR + 16}" text-anchor="middle">${text}</text>`;
}

/** Text for HTML and SVG, in elements and in quoted attributes. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** Round numbers from 0 to at least `most`. */
function ticksTo(most: number): { to: number; ticks: number[] } {
  const rough = most / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const count = Math.max(1, Math.ceil(most / step - 1e-9));
  return { to: count * step, ticks: Array.from({ length: count + 1 }, (_, i) => i * step) };
}

/** Short enough for an axis. */
function figure(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  return String(Number(value.toPrecision(3)));
}
