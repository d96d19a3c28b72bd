import type { DelayTrack } from '../simulator/delay-track.js';
import type { Percentiles } from '../simulator/histogram.js';
import type { LoadReport } from '../simulator/load.js';
import { describeStep } from '../simulator/load-steps.js';
import type { RunFacts } from './junit.js';
import { escaped, histogramPlot, linePlot, type PlotLine } from './svg-plot.js';
import { type Criterion, type Verdict, verdictOf } from './verdict.js';

const VERDICTS: Readonly<Record<Verdict, string>> = {
  passed: 'Passed',
  failed: 'Failed',
  invalid: 'Invalid: this run proves nothing',
};
/** Colours for the lines of a plot. */
const MOST_LINES = 4;
const MARKS: Readonly<Record<Verdict, string>> = { passed: '✓', failed: '✗', invalid: '?' };

/** Colours that colour-blind readers can tell apart (Okabe and Ito), with enough contrast on either page. */
const STYLE = `
:root { color-scheme: light dark; --back: #fff; --fore: #1b1f24; --dim: #59636e; --grid: #d8dee4;
  --line-0: #0072b2; --line-1: #b84a00; --line-2: #007d5c; --line-3: #8f4b7d; --passed: #007d5c; --failed: #b3261e; --invalid: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --back: #15191e; --fore: #e6eaee; --dim: #a0abb6; --grid: #343c45;
  --line-0: #56b4e9; --line-1: #f08a4b; --line-2: #2fc79c; --line-3: #dd9cc4; --passed: #2fc79c; --failed: #ff8a80; --invalid: #e6b450; } }
body { background: var(--back); color: var(--fore); font: 15px/1.5 system-ui, sans-serif; max-width: 960px;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.dim, svg text { color: var(--dim); fill: var(--dim); }
.verdict { font-size: 1.2rem; font-weight: 600; }
.passed { color: var(--passed); } .failed { color: var(--failed); } .invalid { color: var(--invalid); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
.checks td:last-child { overflow-wrap: anywhere; } td.outcome { white-space: nowrap; }
td.figure, th.figure { text-align: right; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
.key { display: flex; flex-wrap: wrap; gap: 0 1rem; color: var(--dim); font-weight: 400; }
.key i { display: inline-block; width: 1.2rem; height: 2px; margin-right: .4rem; vertical-align: middle; }
svg { width: 100%; height: auto; font-size: 13px; }
.grid { stroke: var(--grid); } .line { fill: none; stroke-width: 2; } .bar { fill: var(--line-0); }
@media (max-width: 30rem) { th, td { padding-right: .35rem; } .times, .checks { font-size: .86rem; } }
`;

/** A run as one self-contained HTML file: verdict, checks, plots, figures. */
export function htmlReport(report: LoadReport, checks: readonly Criterion[], facts: RunFacts): string {
  const verdict = verdictOf(checks);
  const title = `${VERDICTS[verdict]}: ${report.calls} simulated calls`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Simulated calls to ${escaped(facts.target)}</h1>
<p class="dim">${facts.begunAt.toISOString().slice(0, 19).replace('T', ' ')} UTC, ${facts.seconds.toFixed(0)} s</p>
<p class="verdict ${verdict}">${MARKS[verdict]} ${VERDICTS[verdict]}</p>
${checkTable(checks)}
<h2>Plots</h2>
<div class="plots">
${plots(report)}
</div>
<h2>Steps</h2>
<ol>${report.steps.map((step) => `<li>${escaped(describeStep(step))}</li>`).join('')}</ol>
<h2>Milliseconds</h2>
${timeTable(report)}
<h2>Counts</h2>
${countTable(report)}
</body>
</html>
`;
}

function checkTable(checks: readonly Criterion[]): string {
  const rows = checks.map(
    ({ name, outcome, detail }) =>
      `<tr><td class="outcome ${outcome}">${MARKS[outcome]} ${outcome}</td><td>${escaped(name)}</td><td>${escaped(detail)}</td></tr>`,
  );
  return tableOf('checks', '<tr><th>Outcome</th><th>Check</th><th>Found</th></tr>', rows);
}

function plots({ samples, delay, echoes, roundTripBins }: LoadReport): string {
  const line = (name: string, of: (sample: LoadReport['samples'][number]) => number): PlotLine => ({
    name,
    points: samples.map((sample) => [sample.seconds, of(sample)]),
  });
  return [
    linePlot('Calls', 'calls', [
      line('streaming', (sample) => sample.streaming),
      line('failed', (sample) => sample.failed),
      line('cut off', (sample) => sample.lost),
    ]),
    ...(echoes
      ? [
          linePlot('Round trip of a frame', 'ms', [
            line('median', (sample) => sample.roundTripP50Ms),
            line('p99', (sample) => sample.roundTripP99Ms),
          ]),
        ]
      : []),
    ...(echoes && roundTripBins.length > 0
      ? [
          histogramPlot(
            'Round trips of all frames',
            'ms',
            roundTripBins.map(({ upToMs, count }) => ({ upTo: upToMs, count })),
          ),
        ]
      : []),
    ...(delay === undefined || !echoes
      ? []
      : [linePlot('Mouth to ear', 'ms', delay.tracks.slice(0, MOST_LINES).map(delayLine))]),
    linePlot('CPU of the generator itself', '% of a core', [line('generator', (sample) => 100 * sample.cpu)]),
  ].join('\n');
}

function delayLine({ samples }: DelayTrack, i: number): PlotLine {
  return { name: `call ${i + 1}`, points: samples.map(({ seconds, delayMs }) => [seconds, delayMs]) };
}

function timeTable(report: LoadReport): string {
  const { echoes, roundTrip, webhook, handshake, handovers, generator } = report;
  const row = (name: string, { count, p50Ms, p99Ms, p999Ms, maxMs }: Percentiles) =>
    `<tr><td>${escaped(name)}</td>${[
      count,
      ...[p50Ms, p99Ms, p999Ms, maxMs].map((ms) => (count === 0 ? '–' : ms.toFixed(2))),
    ]
      .map((text) => `<td class="figure">${text}</td>`)
      .join('')}</tr>`;
  const head = ['count', 'median', 'p99', 'p99.9', 'max'].map((name) => `<th class="figure">${name}</th>`);
  return tableOf('times', `<tr><th></th>${head.join('')}</tr>`, [
    ...(echoes ? [row('round trip of a frame', roundTrip)] : []),
    row('webhook', webhook),
    row('upgrade to WebSocket', handshake),
    ...(handovers.count === 0
      ? []
      : [row('silence of a hand-over', handovers.gap), row('stream to stream', handovers.reconnect)]),
    row('lateness of the frames of the generator', generator.lateness),
  ]);
}

function countTable(report: LoadReport): string {
  const rows: [string, number][] = [
    ['calls placed', report.calls],
    ['most at one time', report.mostStreaming],
    ['calls that failed', report.failed],
    ['calls that were cut off', report.lostCalls],
    ['hand-overs to another stream', report.handovers.count],
    ['frames sent', report.framesSent],
    [report.echoes ? 'frames that came back' : 'frames received', report.framesReceived],
    ...(report.echoes
      ? ([
          ['frames missing', report.framesMissing],
          ['frames of pauses left out', report.pausesLeftOut],
          ['milliseconds by which words were shortened', report.wordsShortenedMs],
        ] as [string, number][])
      : []),
    ['gaps over 40 ms', report.gaps],
    ['underruns', report.underruns],
    ...(report.script === undefined
      ? []
      : ([
          ['callers that finished the script', report.script.completed],
          ['callers that could not follow it', report.script.failed],
          ['callers cut short', report.script.cutShort],
        ] as [string, number][])),
  ];
  return tableOf(
    'counts',
    '<tr><th></th><th class="figure">count</th></tr>',
    rows.map(([name, count]) => `<tr><td>${escaped(name)}</td><td class="figure">${count}</td></tr>`),
  );
}

function tableOf(name: string, head: string, rows: readonly string[]): string {
  return `<table class="${name}"><thead>${head}</thead><tbody>${rows.join('\n')}</tbody></table>`;
}
