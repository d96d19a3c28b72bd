import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Axis {
  readonly label: string;
  readonly from: number;
  readonly to: number;
  /** Where lines and figures are. */
  readonly ticks: readonly number[];
  readonly isLogarithmic?: boolean;
}

const [WIDTH, HEIGHT] = [760, 400];
const [LEFT, RIGHT, TOP, BOTTOM] = [70, 180, 40, 50];
/** Told apart by those who do not see all colours (Okabe and Ito). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#555555'];

/** Curves over two axes, as an SVG of its own that reads on light and dark pages alike. */
export function plotCurves(title: string, x: Axis, y: Axis, curves: readonly Curve[]): string {
  const [px, py] = [scale(x, LEFT, WIDTH - RIGHT), scale(y, HEIGHT - BOTTOM, TOP)];
  const paths = curves.map(({ points }, i) => {
    const d = points
      .map(([a, b], n) => `${n === 0 ? 'M' : 'L'}${px(a).toFixed(1)} ${py(b).toFixed(1)}`)
      .join('');
    return `<path d="${d}" fill="none" stroke="${colour(i)}" stroke-width="${i === 0 ? 2.5 : 1.5}"/>`;
  });
  return figure(title, x, y, [
    `<g clip-path="url(#inside)">${paths.join('')}</g>`,
    legend(curves.map(({ name }) => name)),
  ]);
}

/** Shades that the eye can distinguish, and that keep a file small. */
const SHADES = 32;

/** Colours over two axes: rows from top to bottom, values 0 to 1. Each shade is a path of horizontal lines. */
export function plotField(title: string, x: Axis, y: Axis, rows: readonly (readonly number[])[]): string {
  const [w, h] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  const columns = rows[0]?.length ?? 0;
  const lines = Array.from({ length: SHADES }, () => '');
  for (const [r, row] of rows.entries()) {
    const shades = row.map((value) => Math.round(Math.min(1, Math.max(0, value)) * (SHADES - 1)));
    for (let from = 0, to = 0; from < columns; from = to) {
      while (shades[to] === shades[from] && to < columns) to += 1;
      lines[shades[from] as number] += `M${from} ${r}h${to - from}`;
    }
  }
  // Black, the first shade, covers most of it: one rectangle below everything.
  const paths = lines.map((d, i) => (i === 0 || d === '' ? '' : `<path d="${d}" stroke="${shade(i)}"/>`));
  const scale = `scale(${w / columns} ${h / rows.length})`;
  return figure(title, x, y, [
    `<rect x="${LEFT}" y="${TOP}" width="${w}" height="${h}"/>`,
    `<g transform="translate(${LEFT} ${TOP}) ${scale} translate(0 .5)">${paths.join('')}</g>`,
  ]);
}

/** From black over violet and orange to near white. */
function shade(i: number): string {
  const value = i / (SHADES - 1);
  const blue = value < 0.5 ? value * 1.2 : 1.1 * value ** 2 * (value > 0.8 ? 1 : 0.6);
  const parts = [Math.min(1, 1.6 * value), value ** 2, Math.min(1, blue)].map((part) =>
    Math.floor(255 * part),
  );
  return `rgb(${parts.join(' ')})`;
}

/** Keeps a plot as `bench/results/<name>.svg`. */
export function writePlot(name: string, svg: string): void {
  const folder = fileURLToPath(new URL('results/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}${name}.svg`, svg);
  console.log(`plotted in bench/results/${name}.svg`);
}

function figure(title: string, x: Axis, y: Axis, content: readonly string[]): string {
  const [px, py] = [scale(x, LEFT, WIDTH - RIGHT), scale(y, HEIGHT - BOTTOM, TOP)];
  const [right, bottom] = [WIDTH - RIGHT, HEIGHT - BOTTOM];
  const grid = [
    ...x.ticks.map((t) => `<path d="M${px(t).toFixed(1)} ${TOP}V${bottom}" stroke="#ddd"/>`),
    ...y.ticks.map((t) => `<path d="M${LEFT} ${py(t).toFixed(1)}H${right}" stroke="#ddd"/>`),
  ];
  const figures = [
    ...x.ticks.map(
      (t) => `<text x="${px(t).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${t}</text>`,
    ),
    ...y.ticks.map(
      (t) => `<text x="${LEFT - 8}" y="${(py(t) + 4).toFixed(1)}" text-anchor="end">${t}</text>`,
    ),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<clipPath id="inside"><rect x="${LEFT}" y="${TOP}" width="${right - LEFT}" height="${bottom - TOP}"/></clipPath>
<text x="${LEFT}" y="24" font-size="15" font-weight="bold">${escaped(title)}</text>
${grid.join('')}
${content.join('\n')}
<rect x="${LEFT}" y="${TOP}" width="${right - LEFT}" height="${bottom - TOP}" fill="none" stroke="#333"/>
${figures.join('')}
<text x="${(LEFT + right) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escaped(x.label)}</text>
<text transform="translate(18 ${(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">${escaped(y.label)}</text>
</svg>
`;
}

function legend(names: readonly string[]): string {
  const left = WIDTH - RIGHT + 14;
  return names
    .map((name, i) => {
      const top = TOP + 14 + 20 * i;
      return `<path d="M${left} ${top - 4}h22" stroke="${colour(i)}" stroke-width="3"/><text x="${left + 28}" y="${top}">${escaped(name)}</text>`;
    })
    .join('');
}

function scale({ from, to, isLogarithmic }: Axis, begin: number, end: number): (value: number) => number {
  const at = (value: number) => (isLogarithmic ? Math.log10(Math.max(value, 1e-12)) : value);
  return (value) => begin + ((at(value) - at(from)) / (at(to) - at(from))) * (end - begin);
}

function colour(i: number): string {
  return COLOURS[i % COLOURS.length] as string;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
