/** A line of a plot. */
export interface PlotLine {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const [WIDTH, HEIGHT] = [720, 240];
const [LEFT, RIGHT, TOP, BOTTOM] = [56, 16, 28, 40];
const TICKS = 5;

/**
 * Lines over the seconds of a run as a figure with inline SVG. Colours are the page's (`--line-0` …, `--grid`, `currentColor`), so
 * that it reads in dark and light.
 */
export function linePlot(title: string, unit: string, lines: readonly PlotLine[]): string {
  const all = lines.flatMap((line) => line.points);
  const end = Math.max(1, ...all.map(([x]) => x));
  const xs = { to: end, ticks: ticksTo(end).ticks.filter((x) => x <= end) };
  const ys = ticksTo(Math.max(0, ...all.map(([, y]) => y)) || 1);
  const [right, bottom] = [WIDTH - RIGHT, HEIGHT - BOTTOM];
  const px = (x: number) => (LEFT + (x / xs.to) * (right - LEFT)).toFixed(1);
  const py = (y: number) => (bottom - (y / ys.to) * (bottom - TOP)).toFixed(1);
  const grid = ys.ticks.map((y) => `<path d="M${LEFT} ${py(y)}H${right}" class="grid"/>`);
  const figures = [
    ...ys.ticks.map((y) => `<text x="${LEFT - 8}" y="${py(y)}" dy="4" text-anchor="end">${figure(y)}</text>`),
    ...xs.ticks.map((x) => `<text x="${px(x)}" y="${bottom + 16}" text-anchor="middle">${figure(x)}</text>`),
    `<text x="${(LEFT + right) / 2}" y="${HEIGHT - 8}" text-anchor="middle">seconds</text>`,
    `<text x="${LEFT}" y="16">${escaped(unit)}</text>`,
  ];
  const curves = lines.map(({ points }, i) => {
    const path = points.map(([x, y], n) => `${n === 0 ? 'M' : 'L'}${px(x)} ${py(y)}`).join('');
    return `<path d="${path}" class="line" style="stroke:var(--line-${i})"/>`;
  });
  const legend = lines.map(({ name }, i) => {
    const left = LEFT + 80 + 150 * i;
    return (
      `<path d="M${left} 12h20" class="line" style="stroke:var(--line-${i})"/>` +
      `<text x="${left + 26}" y="16">${escaped(name)}</text>`
    );
  });
  return (
    `<figure><figcaption>${escaped(title)}</figcaption>` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">` +
    `${[...grid, ...figures, ...curves, ...legend].join('')}</svg></figure>`
  );
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

function figure(value: number): string {
  return String(Number(value.toPrecision(3)));
}
